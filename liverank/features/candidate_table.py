"""The part of the features step that writes `candidates.parquet` and the snapshot for serving."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config import DataConfig, FeatureConfig
from liverank.features import candidates, definitions, requests, similarity
from liverank.features.candidate_features import COUNTED, SIMILARITIES, TOGETHER
from liverank.features.definitions import DAY, DAY_MICROS, MICROS, SECOND
from liverank.features.engine import Engine, F, Frame
from liverank.features.learned import (
    affinities_by_hour,
    born_of,
    categories_of,
    events_by_hour,
    first_events,
    frequent,
    neighbours_of,
    prices_of,
)
from liverank.features.negatives import (
    HARD,
    POPULAR,
    Negatives,
    drawing_probabilities,
    hard_negatives,
    nearest,
    popular_negatives,
)
from liverank.features.scaling import learned_scaling, unscaled
from liverank.features.snapshot import NEVER, DailyRows, Settings, Snapshot, price_edges
from liverank.progress import stage
from liverank.ranking.data import load_catalogue
from liverank.ranking.feature_ranker import CANDIDATES_FILE, SNAPSHOT_FOLDER

NEGATIVES_FILE: Final = "negatives.parquet"
SCALING_ROWS: Final = 200_000
"""Training rows that the scaling is learned from, evenly spread; more change its numbers by nothing that matters."""


def write_candidates(
    engine: Engine,
    events: Frame,
    impressions: Frame,
    out: Path,
    config: FeatureConfig,
    data: DataConfig,
    cuts: definitions.Cuts,
    wanted: bool,
) -> None:
    """Writes table and snapshot where they are wanted; else removes those of an earlier run.

    Args:
        engine: the open one.
        events: all events, one row an id, with `micros`, `known` and `split`.
        impressions: the lists of the dataset.
        out: the features folder, which already holds items and requests.
        config: section `features`.
        data: section `data`.
        cuts: the splits.
        wanted: whether anybody asks for them.
    """
    for name in (CANDIDATES_FILE, NEGATIVES_FILE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / SNAPSHOT_FOLDER, ignore_errors=True)
    if wanted:
        with stage("features: candidates"):
            CandidateTable(engine, events, impressions, out, config, data, cuts).write()


@dataclass
class CandidateTable:
    """One run; the fields are the arguments of `write_candidates`."""

    engine: Engine
    events: Frame
    impressions: Frame
    out: Path
    config: FeatureConfig
    data: DataConfig
    cuts: definitions.Cuts
    found: dict[str, Frame] = field(default_factory=dict)
    """The neighbours, by the name of their table."""

    def write(self) -> None:
        """Writes the snapshot, then `candidates.parquet` with scaled features."""
        self._flatten_requests()
        snapshot = self._snapshot()
        raw = self._raw(snapshot)
        names = [feature.name for feature in snapshot.settings.features]
        scaling = self._scaling(raw, snapshot.settings)
        snapshot = replace(snapshot, scaling=scaling)
        snapshot.save(self.out / SNAPSHOT_FOLDER)
        values = scaling.apply(matrix(raw, names))
        columns: dict[str, Any] = {requests.ROW: raw[requests.ROW], c.PLACE: raw[c.PLACE]}
        columns |= {c.ITEM_ID: self.long[c.ITEM_ID], c.LABEL: self.long[c.LABEL]}
        columns |= {name: pa.array(values[:, at]) for at, name in enumerate(names)}
        pq.write_table(pa.table(columns), self.out / CANDIDATES_FILE, compression="zstd")
        self._write_negatives(snapshot)

    # The requests as long tables.

    def _flatten_requests(self) -> None:
        names = (c.USER_ID, c.TIMESTAMP, c.SURFACE, c.CONTEXT, c.SPLIT, c.CANDIDATES, c.CANDIDATE_SCORES, c.LABELS)
        table = pq.read_table(self.out / "requests.parquet", columns=[*names, c.HISTORY_ITEMS, c.HISTORY_TIMES])
        rows = np.arange(table.num_rows)
        key = self.config.candidate.device_key
        devices = [dict(pairs or ()).get(key, "") for pairs in table[c.CONTEXT].to_pylist()]
        self.asked = pa.table(
            {
                requests.ROW: rows,
                c.USER_ID: table[c.USER_ID],
                MICROS: table[c.TIMESTAMP].cast(pa.int64()),
                c.SURFACE: table[c.SURFACE].fill_null(""),
                "device": pa.array(devices, pa.string()),
                c.SPLIT: table[c.SPLIT],
            }
        )
        self.long = _candidate_lines(table)
        sizes = _sizes(table[c.HISTORY_ITEMS])
        seconds = pc.list_flatten(table[c.HISTORY_TIMES]).to_numpy()
        history = {
            requests.ROW: np.repeat(rows, sizes),
            c.ITEM_ID: pc.list_flatten(table[c.HISTORY_ITEMS]),
            MICROS: np.rint(seconds * SECOND).astype(np.int64),
        }
        self.requests = self.engine.rows(self.asked)
        self.lines = self.engine.rows(self.long.drop_columns([c.LABEL]))
        self.history = self.engine.rows(pa.table(history))

    # The snapshot.

    def _snapshot(self) -> Snapshot:
        items = pq.read_table(self.out / "items.parquet")
        index = load_catalogue(self.out).index
        training = self.events.where(F.col(c.SPLIT) == F.lit(c.TRAIN))
        lists = definitions.with_micros(
            definitions.first_of_id(self.impressions, c.IMPRESSION_ID, c.TIMESTAMP, c.USER_ID)
        )
        conversions = self.config.purchase_types
        daily = candidates.daily_counts(self.events, lists, self.data.label_types, conversions)
        self.daily = self._kept(daily, "counts")
        categories, category = categories_of(items)
        prices = prices_of(items, self.config.price_attribute)
        edges = price_edges(prices[np.isfinite(prices)].tolist(), self.config.price_bands)
        settings = self._settings(categories, edges)
        band = np.searchsorted(settings.price_edges, prices, side="right")
        liked = training.where(F.col(c.WEIGHT) > 0)
        return Snapshot(
            settings=settings,
            category=category,
            price_band=np.where(np.isfinite(prices), band, -1).astype(np.int32),
            born=born_of(items, self.engine.arrow(first_events(training)), index),
            affinity=affinities_by_hour(self.engine.arrow(events_by_hour(training)), index, category, len(categories)),
            similar=self._neighbours(liked, "similar", F.col(c.USER_ID), index),
            together=self._neighbours(liked, "together", _session(), index),
            daily=self._daily_rows(index),
            scaling=unscaled(settings.features),
        )

    def _settings(self, categories: tuple[str, ...], edges: tuple[float, ...]) -> Settings:
        config, learned = self.config.candidate, self.asked.filter(pc.equal(self.asked[c.SPLIT], c.TRAIN))
        totals = self.daily.where(F.col(DAY) < self.cuts.train_until // DAY_MICROS)
        counts = totals.agg(*(F.sum(name).cast("long").alias(name) for name in COUNTED)).collect()[0]
        events, shown, answered, converted = (int(value or 0) for value in counts)
        latest = self.daily.agg(F.max(DAY).alias(DAY)).collect()[0][0]
        return Settings(
            days=self.config.popularity_days,
            history_length=self.config.history_length,
            smoothing=self.config.rate_strength,
            ctr=answered / shown if shown else 0.0,
            conversion=converted / events if events else 0.0,
            last_steps=config.last_steps,
            step_decay=config.step_decay,
            counted_until=int(latest or 0),
            label_types=tuple(self.data.label_types),
            conversion_types=self.config.purchase_types,
            categories=categories,
            surfaces=frequent(learned[c.SURFACE], config.one_hot),
            devices=frequent(learned["device"], config.one_hot),
            price_attribute=self.config.price_attribute,
            price_edges=edges,
            device_key=config.device_key,
        )

    def _neighbours(self, liked: Frame, name: str, key: Any, index: dict[str, int]) -> Any:
        config = self.config.candidate
        rated = self._kept(similarity.profiles(liked, key, config.max_profile), f"{name}-profiles")
        sums = self._kept(similarity.sums(rated), f"{name}-sums")
        met = similarity.pairs(rated, sums)
        if name == "similar":
            users = rated.select(similarity.PROFILE).distinct().count()
            found, measures = similarity.similarities(met, users, config), SIMILARITIES
        else:
            found, measures = similarity.togetherness(met, config), (TOGETHER,)
        kept = self._kept(found, name)
        self.found[name] = kept
        return neighbours_of(self.engine.arrow(kept), measures, index, config.neighbours)

    def _daily_rows(self, index: dict[str, int]) -> DailyRows:
        oldest = self.cuts.validation_from // DAY_MICROS - max(self.config.popularity_days, default=0)
        latest = self.daily.agg(F.max(DAY).alias(DAY)).collect()[0][0] or 0
        table = self.daily.where((F.col(DAY) >= oldest) & (F.col(DAY) < int(latest))).orderBy(DAY, c.ITEM_ID)
        table = self.engine.arrow(table)
        rows = np.asarray([index.get(item_id, -1) for item_id in table[c.ITEM_ID].to_pylist()], np.int32)
        counts = np.stack([table[name].to_numpy().astype(np.int32) for name in COUNTED], axis=1)
        known = rows >= 0
        return DailyRows(table[DAY].to_numpy().astype(np.int32)[known], rows[known], counts[known])

    # The features.

    def _raw(self, snapshot: Snapshot) -> pa.Table:
        ids = load_catalogue(self.out).item_ids
        born = pa.array(snapshot.born, mask=snapshot.born == NEVER)
        items = {
            c.ITEM_ID: pa.array(ids, pa.string()),
            candidates.CATEGORY_NUMBER: snapshot.category,
            candidates.BAND: snapshot.price_band,
            candidates.BORN: born,
        }
        affinity = snapshot.affinity
        hours = {
            candidates.CATEGORY_NUMBER: np.repeat(np.arange(len(affinity), dtype=np.int32), 24),
            c.HOUR: np.tile(np.arange(24, dtype=np.int32), len(affinity)),
            "hour_affinity": affinity.ravel(),
        }
        frame = candidates.candidate_rows(
            self.lines,
            self.requests,
            self.history,
            self.engine.rows(pa.table(items)),
            self.daily,
            self.engine.rows(pa.table(hours)),
            self.found["together"],
            self.found["similar"],
            snapshot.settings,
        )
        return self.engine.arrow(self._kept(frame, "raw").orderBy(requests.ROW, c.PLACE))

    # Negatives.

    def _write_negatives(self, snapshot: Snapshot) -> None:
        """`negatives.parquet`: row, item_id, kind and log_q for each training request."""
        config, catalogue = self.config.candidate, load_catalogue(self.out)
        table = pq.read_table(self.out / "requests.parquet", columns=[c.SPLIT, c.TRUTH, c.HISTORY_ITEMS])
        rows = np.flatnonzero(table[c.SPLIT].to_numpy(zero_copy_only=False) == c.TRAIN)
        wanted = self._wanted(catalogue.index)
        table = table.take(pa.array(rows))
        for row, truth in zip(rows.tolist(), table[c.TRUTH].to_pylist(), strict=True):
            wanted.setdefault(row, set()).update(catalogue.index[item] for item in truth if item in catalogue.index)
        positives = [wanted.get(row, set()) for row in rows.tolist()]
        near = snapshot.together
        values = near.values[:, :, 0] if near.rows.size else np.zeros(near.rows.shape, np.int32)
        pools = [nearest(near.rows, values, catalogue.rows(past)) for past in table[c.HISTORY_ITEMS].to_pylist()]
        probability = drawing_probabilities(catalogue.train_events, config.popularity_power)
        drawn = {
            POPULAR: popular_negatives(rows, positives, probability, config.popular_negatives, config.seed),
            HARD: hard_negatives(rows, positives, pools, config.hard_negatives, config.seed),
        }
        pq.write_table(_negatives_table(drawn, rows, catalogue.item_ids), self.out / NEGATIVES_FILE, compression="zstd")

    def _wanted(self, index: Mapping[str, int]) -> dict[int, set[int]]:
        """Row of a training request -> items that its user liked in the label window after it."""
        window = round(self.config.candidate.label_window_hours * 3600 * SECOND)
        asked = self.requests.where(F.col(c.SPLIT) == F.lit(c.TRAIN)).select(
            requests.ROW, F.col(c.USER_ID).alias("asking"), F.col(MICROS).alias("asked_at")
        )
        liked = self.events.where(F.col(c.TYPE).isin(*self.data.label_types)).select(c.USER_ID, c.ITEM_ID, MICROS)
        within = (F.col(MICROS) >= F.col("asked_at")) & (F.col(MICROS) <= F.col("asked_at") + F.lit(window))
        met = asked.join(liked, on=(F.col("asking") == F.col(c.USER_ID)) & within, how="inner")
        found = self.engine.arrow(met.select(requests.ROW, c.ITEM_ID).distinct())
        wanted: dict[int, set[int]] = {}
        for row, item in zip(found[requests.ROW].to_pylist(), found[c.ITEM_ID].to_pylist(), strict=True):
            wanted.setdefault(row, set()).add(index[item])
        return wanted

    def _scaling(self, raw: pa.Table, settings: Settings) -> Any:
        training = np.flatnonzero(self.asked[c.SPLIT].to_numpy(zero_copy_only=False) == c.TRAIN)
        rows = np.flatnonzero(np.isin(raw[requests.ROW].to_numpy(), training))
        rows = rows[:: max(1, len(rows) // SCALING_ROWS)]
        config = self.config.candidate
        values = matrix(raw.take(pa.array(rows)), [feature.name for feature in settings.features])
        return learned_scaling(values, settings.features, config.scaling, self.config.cap_quantile)

    def _kept(self, frame: Frame, name: str) -> Frame:
        return self.engine.kept(frame, f"candidates-{name}")


def matrix(table: pa.Table, names: list[str]) -> npt.NDArray[np.float64]:
    """Columns of a table side by side, `[rows, names]`."""
    if not table.num_rows:
        return np.zeros((0, len(names)))
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def _negatives_table(drawn: Mapping[str, Negatives], rows: npt.NDArray[np.int64], item_ids: Sequence[str]) -> pa.Table:
    parts = [
        pa.table(
            {
                c.REQUEST_ROW: pa.array(rows[some.request], pa.int64()),
                c.ITEM_ID: pa.array([item_ids[item] for item in some.item.tolist()], pa.string()),
                c.NEGATIVE_KIND: pa.array([kind] * len(some.item), pa.string()),
                c.LOG_Q: pa.array(some.log_q, pa.float64()),
            }
        )
        for kind, some in drawn.items()
    ]
    return pa.concat_tables(parts)


def _session() -> Any:
    return F.concat(F.col(c.USER_ID), F.lit("\x1f"), F.col(c.SESSION).cast("string"))


def _sizes(lists: Any) -> npt.NDArray[np.int64]:
    return pc.list_value_length(lists).fill_null(0).to_numpy().astype(np.int64)


def _candidate_lines(table: pa.Table) -> pa.Table:
    """row, place, item_id, score and label: one row a candidate."""
    sizes = _sizes(table[c.CANDIDATES])
    rows = np.repeat(np.arange(table.num_rows), sizes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    has_score = np.repeat(~table[c.CANDIDATE_SCORES].is_null().to_numpy(), sizes)
    scores = np.zeros(len(rows))
    scores[has_score] = pc.list_flatten(table[c.CANDIDATE_SCORES]).to_numpy()
    return pa.table(
        {
            requests.ROW: rows,
            c.PLACE: np.arange(len(rows)) - starts,
            c.ITEM_ID: pc.list_flatten(table[c.CANDIDATES]),
            c.SCORE: pa.array(scores, mask=~has_score),
            c.LABEL: pc.list_flatten(table[c.LABELS]),
        }
    )
