"""The features step: an accepted dataset in, what the rankers are fitted on and judged by out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config import DataConfig, FeatureConfig, TrainingConfig
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.features import assembly, cooccurrence, definitions, parts, requests
from liverank.features.candidate_table import write_candidates
from liverank.features.engine import SPILL_FOLDER, Engine, F, Frame, between, open_engine
from liverank.features.log import FeatureLog, cache_key, with_instants
from liverank.features.parts import Part, PartStore, write_aside
from liverank.features.profiles import profiles
from liverank.features.retrieval import retrieved
from liverank.features.users import write_users
from liverank.progress import note, stage

# users.parquet is not among them: no model learns from it, so what a bundle was trained on does not depend on it.
TABLES = ("items.parquet", "requests.parquet", "profiles.parquet", "cooccurrence.parquet")
FOLDERS = (parts.EVENTS, parts.ITEM_DAYS, parts.TRAILING)


@dataclass(frozen=True)
class FeatureSummary:
    """What the step made; also the content of `split.json`."""

    train_until: str
    validation_from: str
    validation_until: str
    test_from: str
    test_until: str
    """ISO instants; `*_until` is excluded, but for `test_until`, the latest event or request."""
    items: int
    events: dict[str, int]
    """Events in each split."""
    requests: dict[str, int]
    """Requests in each split."""
    sources: dict[str, int]
    """Requests of each source."""
    hash: str
    """SHA-256 over the tables."""


def build_features(
    dataset: Path,
    out: Path,
    config: FeatureConfig,
    data: DataConfig,
    training: TrainingConfig,
    cache: Path | None = None,
) -> FeatureSummary:
    """Writes the tables of a features folder and `split.json` (last: it marks a finished folder) into `out`.

    Args:
        dataset: an accepted dataset folder.
        out: the features folder; made if need be, its files replaced.
        config: windows, limits and shares.
        data: weights of event types, and which of them are positive answers.
        training: settings of the count ranker that proposes candidates where no list was shown.
        cache: folder where the features of past days are kept, so that a new day costs a day; None: kept nowhere.

    Raises:
        DataError: a table is missing or unreadable, or there are too few requests to split.
    """
    _check(dataset)
    out.mkdir(parents=True, exist_ok=True)
    (out / "split.json").unlink(missing_ok=True)
    with open_engine(config, out) as engine:
        store = PartStore(cache or out / SPILL_FOLDER / "parts", cache_key(engine, config, data))
        with store.locked():
            work = _Work(engine, dataset, out, config, data)
            work.write_events(store)
            summary = work.write_requests(store, training)
    (out / "split.json").write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    _tell(summary)
    return summary


class _Work:
    """The frames of one run and the files they become."""

    def __init__(self, engine: Engine, dataset: Path, out: Path, config: FeatureConfig, data: DataConfig) -> None:
        self.engine, self.dataset, self.out, self.config, self.data = engine, dataset, out, config, data
        self.items, self.impressions, self.interactions = (
            engine.scan(dataset / f"{name}.parquet") for name in ("items", "impressions", "interactions")
        )
        self.parts: list[Part] = []

    def write_events(self, store: PartStore) -> None:
        log = FeatureLog(self.engine, self.interactions, self.impressions, self.config, self.data)
        with stage("features: what is new"):
            self.parts = log.plan()
            valid = store.keep(self.parts)
        with stage(f"features: events, {len(self.parts) - valid} of {len(self.parts)} parts"):
            log.write(store, self.parts, valid)
            (self.out / "events.parquet").unlink(missing_ok=True)
            for name in FOLDERS:
                store.hand_out(name, self.parts, self.out / name)

    def write_requests(self, store: PartStore, training: TrainingConfig) -> FeatureSummary:
        if not self.parts:
            raise requests.too_few()
        with stage("features: split"):
            keys = self.engine.scan([store.path(parts.REQUEST_KEYS, part) for part in self.parts])
            cuts = requests.cut(keys, self.config)
            stored = self.engine.scan([store.path(parts.EVENTS, part) for part in self.parts])
            events = self.engine.staged(with_instants(stored))
            items = self._write_items(definitions.split_events(events, cuts))
        with stage("features: requests"):
            chosen = self.engine.kept(requests.chosen(keys, cuts, self.config), "chosen")
            longest = max(self.config.history_length, self.config.profile_events)
            known = self.engine.kept(requests.known_before(chosen, events, longest), "known before")
            table = self._assembled(chosen, known, events, cuts, training)
            write_aside(table, self.out / "requests.parquet")
            write_users(self.dataset, table, self.out)
        with stage("features: profiles and pairs"):
            told = profiles(self.engine, known, table[c.REQUEST_ID], items, self.config)
            write_aside(told, self.out / "profiles.parquet")
            self._write_pairs(store, items[c.ITEM_ID], cuts)
        split = definitions.split_events(events, cuts)
        ranker = training.feature_ranker
        write_candidates(self.engine, split, self.impressions, self.out, self.config, self.data, cuts, ranker)
        return _summary(self.engine, self.out, split, cuts)

    def _write_items(self, events: Frame) -> pa.Table:
        catalogue = self.engine.kept(definitions.catalogue(self.items, events), "catalogue")
        items = self.engine.arrow(definitions.train_counts(catalogue, events))
        write_aside(items, self.out / "items.parquet")
        return items

    def _write_pairs(self, store: PartStore, items: pa.ChunkedArray, cuts: definitions.Cuts) -> None:
        pairs = self.engine.scan([store.path(parts.PAIRS, part) for part in self.parts])
        # Whole days: a model that reads the pairs must not have seen what it is judged by.
        pairs = pairs.where(F.col(definitions.DAY) < cuts.train_until // definitions.DAY_MICROS)
        found = cooccurrence.neighbours(self.engine, pairs, items, self.config.cooccurrence_items)
        write_aside(self.engine.arrow(found), self.out / "cooccurrence.parquet")

    def _assembled(
        self, chosen: Frame, known: Frame, events: Frame, cuts: definitions.Cuts, training: TrainingConfig
    ) -> pa.Table:
        arrow, types = self.engine.arrow, self.data.label_types
        base = arrow(chosen.orderBy(requests.ROW))
        history = arrow(requests.histories(known, self.config.history_length))
        truth = arrow(requests.truths(chosen, events, types, cuts.train_until))
        lists, log = (_of_their_time(frame, base) for frame in (self.impressions, self.interactions))
        shown = arrow(requests.shown_lists(chosen, lists))
        contexts = arrow(requests.basket_contexts(chosen, log, types))
        table = assembly.request_table(base, history, truth, shown, contexts)
        return retrieved(table, self.out, cuts.train_until / 1e6, self.config.candidates, training.count)


def _of_their_time(frame: Frame, requests: pa.Table) -> Frame:
    """The rows from the first to the last request, with `micros`; of files in the order of time no others are read."""
    times = pc.min_max(requests[definitions.MICROS]).as_py()
    return between(definitions.with_micros(frame), times["min"] or 0, times["max"] or 0)


def _check(dataset: Path) -> None:
    for name in ("items", "impressions", "interactions"):
        path = dataset / f"{name}.parquet"
        try:
            found = pq.read_schema(path)
        except (OSError, pa.ArrowException) as problem:
            raise DataError(f"{path} cannot be read: {problem}.", "Run ingest and validate first.") from problem
        missing = [column for column in ARROW_SCHEMAS[name].names if column not in found.names]
        if missing:
            raise DataError(f"{path} lacks the column {missing[0]}.", "docs/contract.md lists the columns.")


def _summary(engine: Engine, out: Path, events: Frame, cuts: definitions.Cuts) -> FeatureSummary:
    counted = events.groupBy(c.SPLIT).agg(
        F.count("*").cast("long").alias("rows"), F.max(definitions.MICROS).alias("latest")
    )
    splits = engine.arrow(counted.orderBy(c.SPLIT)).to_pylist()
    chosen = pq.read_table(out / "requests.parquet", columns=[c.SPLIT, c.SOURCE, c.TIMESTAMP])
    asked = chosen[c.TIMESTAMP].cast(pa.int64()).to_pylist()
    return FeatureSummary(
        train_until=_instant(cuts.train_until),
        validation_from=_instant(cuts.validation_from),
        validation_until=_instant(cuts.validation_until),
        test_from=_instant(cuts.test_from),
        test_until=_instant(max([*asked, *(row["latest"] for row in splits)])),
        items=pq.read_metadata(out / "items.parquet").num_rows,
        events={row[c.SPLIT]: row["rows"] for row in splits},
        requests=_counts(chosen[c.SPLIT]),
        sources=_counts(chosen[c.SOURCE]),
        hash=_hash(out),
    )


def _instant(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in sorted(column.value_counts().to_pylist(), key=str)}


def _hash(out: Path) -> str:
    digest = hashlib.sha256()
    for path in [*(out / name for name in TABLES), *(p for name in FOLDERS for p in sorted((out / name).iterdir()))]:
        with open(path, "rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _tell(summary: FeatureSummary) -> None:
    kinds = ", ".join(f"{count:,} {name}" for name, count in summary.requests.items())
    note(
        f"{sum(summary.events.values()):,} events of {summary.items:,} items; requests: {kinds}; "
        f"training ends at {summary.train_until}."
    )
