"""The features step: an accepted dataset in, what the rankers are fitted on and judged by out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config import DataConfig, FeatureConfig, TrainingConfig
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.features import assembly, definitions, requests
from liverank.features.engine import SPILL_FOLDER, Frame, open_engine, scan, write
from liverank.features.retrieval import retrieved
from liverank.progress import note, stage

FILES = ("items.parquet", "events.parquet", "requests.parquet")


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
    """SHA-256 over the three tables."""


def build_features(
    dataset: Path,
    out: Path,
    config: FeatureConfig,
    data: DataConfig,
    training: TrainingConfig,
    cache: Path | None = None,
) -> FeatureSummary:
    """Writes items, events, requests and `split.json` (last, so that it marks a finished folder) into `out`.

    Args:
        dataset: an accepted dataset folder.
        out: the features folder; made if need be, its files replaced.
        config: windows, limits and shares.
        data: weights of event types, and which of them are positive answers.
        training: settings of the count ranker that proposes candidates where no list was shown.

    Raises:
        DataError: a table is missing or unreadable, or there are too few requests to split.
    """
    _check(dataset)
    out.mkdir(parents=True, exist_ok=True)
    (out / "split.json").unlink(missing_ok=True)
    with open_engine(config.memory_limit, out) as session:
        work = _Work(session, dataset, out, config, data)
        with stage("features: split"):
            cuts = work.cut()
        with stage("features: events"):
            work.write_events(cuts)
        with stage("features: requests"):
            work.write_requests(cuts, training)
    summary = _summary(out, cuts)
    (out / "split.json").write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    _tell(summary)
    return summary


class _Work:
    """The frames of one run and the files they become."""

    def __init__(self, session: Any, dataset: Path, out: Path, config: FeatureConfig, data: DataConfig) -> None:
        self.session, self.out, self.config, self.data = session, out, config, data
        self.items, self.impressions, interactions = (
            scan(session, dataset / f"{name}.parquet") for name in ("items", "impressions", "interactions")
        )
        self.interactions = self._kept(definitions.prepared(interactions), "interactions")

    def cut(self) -> definitions.Cuts:
        keys = self._kept(requests.keys(self.impressions, self.interactions, self.data.label_types), "keys")
        self.keys = keys
        return requests.cut(keys, self.config)

    def write_events(self, cuts: definitions.Cuts) -> None:
        config = self.config
        catalogue = self._kept(definitions.catalogue(self.items, self.interactions), "catalogue")
        daily = self._kept(definitions.daily_popularity(self.interactions, config.popularity_days), "daily")
        events = definitions.indexed(self.interactions, catalogue)
        events = definitions.sessions(events, config.session_gap_minutes)
        events = definitions.repeats(definitions.history(events, config.history_length))
        events = definitions.popularity(events, daily)
        events = definitions.weights(definitions.context(events), self.data.event_weights)
        events = definitions.split(events, cuts).orderBy(c.USER_ID, c.TIMESTAMP, c.EVENT_ID)
        write(events.select(*event_columns(config)), self.out / "events.parquet")
        counted = definitions.train_counts(catalogue, scan(self.session, self.out / "events.parquet"))
        write(counted, self.out / "items.parquet")

    def write_requests(self, cuts: definitions.Cuts, training: TrainingConfig) -> None:
        chosen = self._kept(requests.chosen(self.keys, cuts, self.config), "chosen")
        table = self._assembled(chosen, training)
        pq.write_table(table, self.out / "requests.parquet", compression="zstd")

    def _assembled(self, chosen: Frame, training: TrainingConfig) -> pa.Table:
        types = self.data.label_types
        base = chosen.orderBy(requests.ROW).toArrow()
        events = definitions.ordered(definitions.with_micros(scan(self.session, self.out / "events.parquet")))
        history = requests.histories(chosen, events, self.config.history_length).toArrow()
        truth = requests.truths(chosen, self.interactions, types).toArrow()
        shown = requests.shown_lists(chosen, self.impressions).toArrow()
        contexts = requests.basket_contexts(chosen, self.interactions, types).toArrow()
        table = assembly.request_table(base, history, truth, shown, contexts)
        return retrieved(table, self.out, self.config.candidates, training.count)

    def _kept(self, frame: Frame, name: str) -> Frame:
        """Computes a frame that is used several times, once."""
        path = self.out / SPILL_FOLDER / f"{name}.parquet"
        write(frame, path)
        return scan(self.session, path)


def event_columns(config: FeatureConfig) -> list[str]:
    """The columns of `events.parquet`, in order."""
    known = [c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.VALUE, c.WEIGHT, c.TIMESTAMP]
    made = [c.SESSION, c.SESSION_START, c.GAP_SECONDS, c.HOUR, c.WEEKDAY]
    popularity = [c.popularity(days) for days in config.popularity_days]
    return [*known, *made, *popularity, c.REPEATS, c.HISTORY, c.IMPRESSION_ID, c.SPLIT]


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


def _summary(out: Path, cuts: definitions.Cuts) -> FeatureSummary:
    events = pq.read_table(out / "events.parquet", columns=[c.SPLIT, c.TIMESTAMP])
    chosen = pq.read_table(out / "requests.parquet", columns=[c.SPLIT, c.SOURCE, c.TIMESTAMP])
    latest = max(at for at in (pc.max(table[c.TIMESTAMP]).as_py() for table in (events, chosen)) if at)
    return FeatureSummary(
        train_until=_instant(cuts.train_until),
        validation_from=_instant(cuts.validation_from),
        validation_until=_instant(cuts.validation_until),
        test_from=_instant(cuts.test_from),
        test_until=latest.isoformat(),
        items=pq.read_metadata(out / "items.parquet").num_rows,
        events=_counts(events[c.SPLIT]),
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
    for name in FILES:
        with open(out / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _tell(summary: FeatureSummary) -> None:
    kinds = ", ".join(f"{count:,} {name}" for name, count in summary.requests.items())
    note(
        f"{sum(summary.events.values()):,} events of {summary.items:,} items; requests: {kinds}; "
        f"training ends at {summary.train_until}."
    )
