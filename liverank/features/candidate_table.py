"""The part of the features step that writes candidate features, negatives, and the snapshot for serving."""

from __future__ import annotations

import shutil
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
from liverank.features import candidates, definitions, parts, popularity, similarity
from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.candidate_lines import DEVICE, Lines, read_lines
from liverank.features.definitions import DAY, DAY_MICROS
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
from liverank.features.negative_table import NEGATIVES_FILE, write_negatives
from liverank.features.requests import ROW
from liverank.features.scaling import Scaling, learned_scaling, unscaled
from liverank.features.snapshot import DailyRows, Neighbours, Settings, Snapshot, price_edges
from liverank.features.snapshot_tables import hours_table, items_table
from liverank.progress import stage
from liverank.ranking.data import Catalogue, load_catalogue
from liverank.ranking.feature_ranker import CANDIDATES_FILE, SNAPSHOT_FOLDER

SCALING_ROWS: Final = 200_000
"""Rows that the scaling is learned from, evenly spread; more change its numbers by nothing that matters."""


def write_candidates(
    engine: Engine,
    events: Frame,
    impressions: Frame,
    out: Path,
    config: FeatureConfig,
    data: DataConfig,
    cuts: definitions.Cuts,
    ranker: bool,
) -> None:
    """Writes table and snapshot where they are wanted; else removes those of an earlier run.

    Args:
        engine: the open one.
        events: all events, one row an id, with `micros`, `known` and `split`.
        impressions: the lists of the dataset.
        out: the features folder, which already holds items, requests and the counts of days.
        config: section `features`.
        data: section `data`.
        cuts: the splits.
        ranker: whether the feature ranker will be trained.
    """
    for name in (CANDIDATES_FILE, NEGATIVES_FILE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / SNAPSHOT_FOLDER, ignore_errors=True)
    if not (ranker or config.candidate.table):
        return
    with stage("features: candidates"):
        lines = read_lines(out / "requests.parquet", config.candidate.device_key, config.candidate.table)
        catalogue = load_catalogue(out)
        work = CandidateTable(engine, events, impressions, out, config, data, cuts, catalogue, lines)
        snapshot = work.write()
    if config.candidate.table:
        with stage("features: negatives"):
            liked = events.where(F.col(c.TYPE).isin(*data.label_types))
            asked = engine.rows(lines.requests)
            write_negatives(engine, asked, liked, out, catalogue, snapshot.together, config.candidate)


@dataclass
class CandidateTable:
    """One run; most fields are the arguments of `write_candidates`."""

    engine: Engine
    events: Frame
    impressions: Frame
    out: Path
    config: FeatureConfig
    data: DataConfig
    cuts: definitions.Cuts
    catalogue: Catalogue
    lines: Lines
    daily: Frame = None
    """`popularity.item_days`."""
    counted_until: int = 0
    """See `Settings`."""
    near: dict[str, Frame] = field(default_factory=dict)
    """The neighbours, by the name of their table."""

    def write(self) -> Snapshot:
        """Writes the snapshot, then `candidates.parquet` with scaled features."""
        snapshot = self._snapshot()
        raw = self._raw(snapshot)
        names = [feature.name for feature in snapshot.settings.features]
        snapshot = replace(snapshot, scaling=self._scaling(raw, snapshot.settings))
        snapshot.save(self.out / SNAPSHOT_FOLDER)
        values = snapshot.scaling.apply(matrix(raw, names))
        columns: dict[str, Any] = {ROW: raw[ROW], c.PLACE: raw[c.PLACE]}
        columns |= {name: self.lines.candidates[name] for name in (c.ITEM_ID, c.LABEL)}
        columns |= {name: pa.array(values[:, at]) for at, name in enumerate(names)}
        pq.write_table(pa.table(columns), self.out / CANDIDATES_FILE, compression="zstd")
        return snapshot

    # The snapshot.

    def _snapshot(self) -> Snapshot:
        items, index, engine = pq.read_table(self.out / "items.parquet"), self.catalogue.index, self.engine
        training = self._kept(self.events.where(F.col(c.SPLIT) == F.lit(c.TRAIN)).select(*_READ), "training")
        self.daily = engine.scan(sorted((self.out / parts.ITEM_DAYS).iterdir()))
        self.counted_until = max(map(self._latest_day, (self.events, definitions.with_micros(self.impressions))))
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
            born=born_of(items, engine.arrow(first_events(training)), index),
            affinity=affinities_by_hour(engine.arrow(events_by_hour(training)), index, category, len(categories)),
            similar=self._neighbours(liked, "similar", F.col(c.USER_ID)),
            together=self._neighbours(liked, "together", _session()),
            daily=self._daily_rows(),
            scaling=unscaled(settings.features),
        )

    def _settings(self, categories: tuple[str, ...], edges: tuple[float, ...]) -> Settings:
        config, asked = self.config.candidate, self.lines.requests
        learned = asked.filter(pc.equal(asked[c.SPLIT], c.TRAIN))
        return Settings(
            days=self.config.popularity_days,
            history_length=self.config.history_length,
            rate_strength=self.config.rate_strength,
            last_steps=config.last_steps,
            step_decay=config.step_decay,
            counted_until=self.counted_until,
            view_types=self.config.view_types,
            click_types=self.config.click_types,
            purchase_types=self.config.purchase_types,
            categories=categories,
            surfaces=frequent(learned[c.SURFACE], config.one_hot),
            devices=frequent(learned[DEVICE], config.one_hot),
            price_attribute=self.config.price_attribute,
            price_edges=edges,
            device_key=config.device_key,
        )

    def _neighbours(self, liked: Frame, name: str, key: Any) -> Neighbours:
        config = self.config.candidate
        rated = self._kept(similarity.profiles(liked, key, config.max_profile), f"{name}-profiles")
        met = similarity.pairs(rated, self._kept(similarity.sums(rated), f"{name}-sums"))
        if name == "similar":
            users = rated.select(similarity.PROFILE).distinct().count()
            found = similarity.similarities(met, users, config)
        else:
            found = similarity.togetherness(met, config)
        self.near[name] = self._kept(found, name)
        measures = SIMILARITIES if name == "similar" else (TOGETHER,)
        return neighbours_of(self.engine.arrow(self.near[name]), measures, self.catalogue.index, config.neighbours)

    @staticmethod
    def _latest_day(happened: Frame) -> int:
        # Not the day on which anything was known: one arrival by a wrong clock would have serving wait for days to
        # come, and leave out all that the live log says until then.
        micros = happened.agg(F.max(definitions.MICROS).alias(DAY)).collect()[0][0]
        return int(micros or 0) // DAY_MICROS

    def _daily_rows(self) -> DailyRows:
        oldest = self.cuts.validation_from // DAY_MICROS - max(self.config.popularity_days, default=0)
        chosen = self.daily.where((F.col(DAY) >= oldest) & (F.col(DAY) < self.counted_until))
        table = self.engine.arrow(chosen.orderBy(DAY, c.ITEM_ID))
        rows = self.catalogue.rows(table[c.ITEM_ID].to_pylist()).astype(np.int32)
        counts = np.stack([table[name].to_numpy().astype(np.int32) for name in popularity.COUNTS], axis=1)
        return DailyRows(table[DAY].to_numpy().astype(np.int32), rows, counts)

    # The features.

    def _raw(self, snapshot: Snapshot) -> pa.Table:
        table = self.engine.rows
        frame = candidates.candidate_rows(
            table(self.lines.candidates.drop_columns([c.LABEL])),
            table(self.lines.requests),
            table(self.lines.history),
            table(items_table(snapshot, self.catalogue.item_ids)),
            self.daily,
            table(hours_table(snapshot)),
            self.near["together"],
            self.near["similar"],
            snapshot.settings,
        )
        return self.engine.arrow(frame)

    def _scaling(self, raw: pa.Table, settings: Settings) -> Scaling:
        """Learned on candidates of the training time, or of the validation where no training list was made."""
        split, asked = self.lines.requests[c.SPLIT].to_pylist(), self.lines.requests[ROW].to_numpy()
        learn = c.TRAIN if c.TRAIN in split else c.VALIDATION
        chosen = asked[np.asarray([name == learn for name in split], bool)]
        rows = np.flatnonzero(np.isin(raw[ROW].to_numpy(), chosen))
        rows = rows[:: max(1, len(rows) // SCALING_ROWS)]
        values = matrix(raw.take(pa.array(rows)), [feature.name for feature in settings.features])
        return learned_scaling(values, settings.features, self.config.candidate.scaling, self.config.cap_quantile)

    def _kept(self, frame: Frame, name: str) -> Frame:
        return self.engine.kept(frame, f"candidates-{name}")


_READ: Final = (c.USER_ID, c.ITEM_ID, c.WEIGHT, c.SESSION, definitions.MICROS)


def matrix(table: pa.Table, names: list[str]) -> npt.NDArray[np.float64]:
    """Columns of a table side by side, `[rows, names]`."""
    if not table.num_rows:
        return np.zeros((0, len(names)))
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def _session() -> Any:
    return F.concat(F.col(c.USER_ID), F.lit("\x1f"), F.col(c.SESSION).cast("string"))
