"""What users did with the lists of an experiment, in the order in which the system learned of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import ExperimentArm, Impression, Interaction, Record
from liverank.store import LiveStore

CTR: Final = "ctr"
CONVERSION: Final = "conversion"
NDCG: Final = "ndcg"
METRICS: Final = (CTR, CONVERSION, NDCG)


@dataclass(frozen=True, slots=True)
class Shown:
    """A list of the experiment."""

    user_id: str
    arm: ExperimentArm
    places: Mapping[str, int]
    """Item -> its place in the list, from 0."""
    at: datetime
    replaced: bool = False
    """Whether the variant's own model could not rank it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A list that was shown (`outcome` 0, `lists` 1), or what an answer to it adds to its outcome."""

    shown: Shown
    outcome: float
    lists: int
    item_id: str = ""
    """The answered item."""


@dataclass
class Outcomes:
    """Lists and answers as steps of a metric.

    `ctr`: 1 for a list with an answer of `click_types`, else 0. `conversion`: the same of `purchase_types`. `ndcg`: the
    list's DCG of items answered by either, without cut-off, over that of the same number of answers on top; 0 for
    an unanswered list. An answer names its list (`impression_id`) and an item of it; the user's first to each item
    counts, and what arrives before its list is not an answer to it.
    """

    experiment: str
    metric: str
    click_types: frozenset[str]
    purchase_types: frozenset[str]
    _open: dict[str, tuple[Shown, set[str], float]] = field(default_factory=dict)

    def steps(self, records: Iterable[Record]) -> Iterator[Step]:
        """The steps that records make, in their order."""
        for record in records:
            if isinstance(record, Impression):
                yield from self._list(record)
            elif isinstance(record, Interaction) and record.impression_id in self._open:
                yield from self._answer(record)

    def _list(self, record: Impression) -> Iterator[Step]:
        arm = record.experiment_arm
        if arm is None or arm.name != self.experiment or record.impression_id in self._open:
            return
        ordered = sorted(record.shown, key=lambda line: line.position)
        places = {line.item_id: place for place, line in enumerate(ordered)}
        replaced = any(reason.startswith("experiment:") for reason in record.degraded)
        shown = Shown(record.user_id, arm, places, record.timestamp, replaced)
        self._open[record.impression_id] = (shown, set(), 0.0)
        yield Step(shown, 0.0, 1)

    def _answer(self, record: Interaction) -> Iterator[Step]:
        assert record.impression_id is not None
        shown, answered, before = self._open[record.impression_id]
        if not self._counts(record.type) or record.item_id not in shown.places or record.item_id in answered:
            return
        if record.user_id != shown.user_id:
            return
        answered.add(record.item_id)
        after = self._ndcg(shown, answered) if self.metric == NDCG else 1.0
        self._open[record.impression_id] = (shown, answered, after)
        yield Step(shown, after - before, 0, record.item_id)

    def _counts(self, kind: str) -> bool:
        clicks, purchases = self.click_types, self.purchase_types
        return kind in {CTR: clicks, CONVERSION: purchases, NDCG: clicks | purchases}[self.metric]

    @staticmethod
    def _ndcg(shown: Shown, answered: set[str]) -> float:
        gained = sum(1 / math.log2(shown.places[item] + 2) for item in answered)
        return gained / sum(1 / math.log2(place + 2) for place in range(len(answered)))


def experiments(records: Iterable[Record]) -> list[str]:
    """The names of the experiments that lists belong to, the latest last."""
    found: dict[str, None] = {}
    for record in records:
        if isinstance(record, Impression) and record.experiment_arm is not None:
            found.pop(record.experiment_arm.name, None)
            found[record.experiment_arm.name] = None
    return list(found)


def of_store(store: LiveStore) -> Iterator[Record]:
    """Lists and answers of a live store, as they arrived."""
    return (record for _, record in store.export() if isinstance(record, Impression | Interaction))


def of_folder(folder: Path) -> list[Record]:
    """Lists and answers of a dataset folder (`impressions.parquet`, `interactions.parquet`), by time.

    Raises:
        DataError: one of the files is missing or cannot be read.
    """
    found = [*_rows(folder, "impressions"), *_rows(folder, "interactions")]
    return sorted(found, key=lambda record: (_known(record), isinstance(record, Interaction)))


def _known(record: Any) -> datetime:
    """When the system knew of it."""
    received: datetime | None = getattr(record, c.RECEIVED_AT, None)
    at: datetime = record.timestamp
    return max(at, received) if received else at


def _rows(folder: Path, table: str) -> list[Record]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from liverank.events import ARROW_SCHEMAS, from_table

    file = folder / f"{table}.parquet"
    if not file.is_file():
        raise DataError(f"There is no {file}.", "Name a dataset folder with impressions and interactions.")
    left_out = {c.FEATURE_VALUES, c.CONTEXT}
    try:
        has = set(pq.read_schema(file).names)
        rows = pq.read_table(file, columns=[n for n in ARROW_SCHEMAS[table].names if n in has and n not in left_out])
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{file} cannot be read: {problem}.") from problem
    wanted = c.EXPERIMENT_ARM if table == "impressions" else c.IMPRESSION_ID
    if wanted not in has:
        return []
    found: list[Record] = from_table(rows.filter(pc.is_valid(rows.column(wanted))), table)
    return found
