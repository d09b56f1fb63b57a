"""What the rankers learn from: the catalogue, the training events in columns, and labelled requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import Item
from liverank.ranking.protocol import Candidates, Context, History, Request

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_FEATURE_FILES = ("items.parquet", "events.parquet", "requests.parquet", "split.json")


def item_text(title: str, text: str, category: str) -> str:
    """What a model reads of an item: title, text and category, as far as there are any."""
    return ". ".join(part for part in (title.strip(), text.strip(), category.strip()) if part)


@dataclass(frozen=True)
class Catalogue:
    """All items a ranker knows, one row each; rows only ever get appended."""

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    texts: tuple[str, ...]
    """What the models read of each item (`item_text`)."""
    train_events: npt.NDArray[np.int64]
    """Training events of each item, `[items]`."""
    embeddings: Floats | None = None
    """Unit vectors of the texts, `[items, width]`; None before they are made."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id -> row."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Row of each id, -1 where the item is not in the catalogue."""
        get = self.index.get
        return np.fromiter((get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids))

    def with_embeddings(self, embeddings: Floats) -> Catalogue:
        """The same items with their embeddings, `[items, width]`."""
        return replace(self, embeddings=np.ascontiguousarray(embeddings, np.float32))

    def with_items(self, items: Sequence[Item]) -> tuple[Catalogue, Rows]:
        """The catalogue with new items appended and known ones rewritten, and the rows that changed.

        Changed rows have a zero embedding until the caller fills it.
        """
        latest = {item.item_id: item for item in items}
        new = [item_id for item_id in latest if item_id not in self.index]
        ids = [*self.item_ids, *new]
        titles = [*self.titles, *[""] * len(new)]
        categories = [*self.categories, *[""] * len(new)]
        texts = [*self.texts, *[""] * len(new)]
        rows = {item_id: len(self) + at for at, item_id in enumerate(new)}
        changed = []
        for item_id, item in latest.items():
            row = rows.get(item_id, self.index.get(item_id, -1))
            text = item_text(item.title, item.text, item.category)
            if row >= len(self) or text != self.texts[row]:
                changed.append(row)
            titles[row], categories[row], texts[row] = item.title, item.category, text
        return (
            Catalogue(
                tuple(ids),
                tuple(titles),
                tuple(categories),
                tuple(texts),
                np.concatenate([self.train_events, np.zeros(len(new), np.int64)]),
                _grown(self.embeddings, len(new), changed),
            ),
            np.asarray(sorted(changed), np.int64),
        )


def _grown(embeddings: Floats | None, new: int, changed: Sequence[int]) -> Floats | None:
    if embeddings is None:
        return None
    grown = np.vstack([embeddings, np.zeros((new, embeddings.shape[1]), np.float32)])
    grown[list(changed)] = 0
    return grown


@dataclass(frozen=True)
class Events:
    """Interactions in columns, sorted by user, time and event id; one entry an event."""

    user: npt.NDArray[np.int32]
    """Index into `users`."""
    item: npt.NDArray[np.int32]
    """Row of the catalogue."""
    type: npt.NDArray[np.int16]
    """Index into `types`."""
    weight: Floats
    """Evidence of interest; negative is against."""
    timestamp: npt.NDArray[np.float64]
    """Seconds since 1970-01-01 UTC."""
    users: tuple[str, ...]
    types: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.item)

    def where(self, mask: npt.NDArray[np.bool_]) -> Events:
        """The events where `mask` holds."""
        return replace(
            self,
            user=self.user[mask],
            item=self.item[mask],
            type=self.type[mask],
            weight=self.weight[mask],
            timestamp=self.timestamp[mask],
        )

    def steps(self) -> Rows:
        """Number of the step each event belongs to: a user's events of one timestamp are one step (a basket)."""
        if not len(self):
            return np.zeros(0, np.int64)
        new = (np.diff(self.user) != 0) | (np.diff(self.timestamp) != 0)
        return np.concatenate([[0], np.cumsum(new)]).astype(np.int64)

    def type_weights(self) -> dict[str, float]:
        """Mean weight of each type of event."""
        totals = np.bincount(self.type, self.weight, len(self.types))
        counts = np.bincount(self.type, minlength=len(self.types))
        return {name: float(totals[at] / counts[at]) for at, name in enumerate(self.types) if counts[at]}


@dataclass(frozen=True, slots=True)
class LabelledRequest:
    """A request of the past and what the user did next."""

    request: Request
    request_id: str
    labels: Floats
    """1.0 where the candidate was answered positively, `[candidates]`."""
    truth: tuple[str, ...]
    """All relevant items, also those outside the list."""
    source: str
    """`impressions` (the list was shown) or `retriever` (candidates made afterwards)."""


@dataclass(frozen=True)
class TrainingData:
    """A features folder as the rankers read it."""

    catalogue: Catalogue
    events: Events
    """Events of the training time only."""
    validation: list[LabelledRequest] = field(repr=False)
    data_hash: str = ""


def load_training_data(features: Path) -> TrainingData:
    """Reads the catalogue, the training events and the validation requests of a features folder.

    Raises:
        DataError: a file is missing or unreadable, or there is no event to train on.
    """
    check_features(features)
    catalogue = load_catalogue(features)
    events = load_events(features, catalogue)
    if not len(events):
        raise DataError(f"{features} holds no training events.", "Give more interactions, or smaller test shares.")
    split = json.loads((features / "split.json").read_text(encoding="utf-8"))
    return TrainingData(catalogue, events, load_requests(features, c.VALIDATION), str(split.get("hash", "")))


def check_features(features: Path) -> None:
    """Raises a DataError where `features` is no features folder."""
    missing = [name for name in _FEATURE_FILES if not (features / name).is_file()]
    if missing:
        raise DataError(f"{features} is no features folder: {missing[0]} is missing.", "Run the features step first.")


def load_catalogue(features: Path) -> Catalogue:
    """The items of a features folder, without embeddings."""
    return catalogue_of(_read(features / "items.parquet"))


def catalogue_of(items: pa.Table) -> Catalogue:
    """A catalogue from a table in the item contract (a column `train_events` is used where there is one)."""
    title, text, category = (items[name].fill_null("").to_pylist() for name in (c.TITLE, c.TEXT, c.CATEGORY))
    known = "train_events" in items.column_names
    counts = items["train_events"].to_numpy() if known else np.zeros(items.num_rows)
    return Catalogue(
        tuple(items[c.ITEM_ID].to_pylist()),
        tuple(title),
        tuple(category),
        tuple(item_text(*parts) for parts in zip(title, text, category, strict=True)),
        np.asarray(counts, np.int64),
    )


def load_events(features: Path, catalogue: Catalogue, split: str = c.TRAIN) -> Events:
    """The events of one split; those of items outside the catalogue are left out."""
    table = _read(features / "events.parquet", filters=pc.field(c.SPLIT) == split)
    return events_of(table, catalogue)


def events_of(table: pa.Table, catalogue: Catalogue) -> Events:
    """Columns of an events table that is sorted by user and time, with a `weight` column."""
    rows = _mapped(table[c.ITEM_ID], catalogue.index)
    table, rows = table.filter(pa.array(rows >= 0)), rows[rows >= 0]
    users, types = _encoded(table[c.USER_ID]), _encoded(table[c.TYPE])
    return Events(
        user=users[0].astype(np.int32),
        item=rows.astype(np.int32),
        type=types[0].astype(np.int16),
        weight=table[c.WEIGHT].fill_null(1.0).to_numpy().astype(np.float32),
        timestamp=table[c.TIMESTAMP].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() / 1e6,
        users=users[1],
        types=types[1],
    )


def _mapped(column: pa.ChunkedArray, index: Mapping[str, int]) -> Rows:
    codes, names = _encoded(column)
    rows = np.asarray([index.get(name, -1) for name in names], np.int64)
    return rows[codes] if len(names) else np.zeros(0, np.int64)


def _encoded(column: pa.ChunkedArray) -> tuple[Rows, tuple[str, ...]]:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), tuple(encoded.dictionary.to_pylist())


def load_requests(features: Path, split: str) -> list[LabelledRequest]:
    """The labelled requests of a split (`train`, `validation`, `test`), in the order of the file.

    Raises:
        DataError: the file is missing or unreadable.
    """
    table = _read(features / "requests.parquet", filters=pc.field(c.SPLIT) == split)
    return [_labelled(row) for batch in table.to_batches(max_chunksize=1000) for row in batch.to_pylist()]


def _labelled(row: dict[str, Any]) -> LabelledRequest:
    scores = row[c.CANDIDATE_SCORES]
    request = Request(
        History(row[c.HISTORY_ITEMS], row[c.HISTORY_TYPES], row[c.HISTORY_TIMES]),
        Candidates(row[c.CANDIDATES], scores=None if scores is None else np.asarray(scores, np.float32)),
        Context(row[c.TIMESTAMP].timestamp(), row[c.SURFACE] or "", dict(row[c.CONTEXT] or ())),
        row[c.USER_ID],
    )
    labels = np.asarray(row[c.LABELS], np.float32)
    return LabelledRequest(request, row[c.REQUEST_ID], labels, tuple(row[c.TRUTH]), row[c.SOURCE])


def _read(path: Path, filters: Any = None) -> pa.Table:
    try:
        return pq.read_table(path, filters=filters)
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "Run the features step again.") from problem


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """A request in rows of a catalogue: looked up once, read by every ranker."""

    request: Request
    history: Rows
    """Rows of the known history items, oldest first."""
    types: tuple[str, ...]
    times: npt.NDArray[np.float64]
    steps_back: Rows
    """0 for events of the latest timestamp, 1 for those of the one before, ..."""
    candidates: Rows
    """Rows of the candidates, -1 where unknown, `[candidates]`."""


def encode(catalogue: Catalogue, request: Request) -> EncodedRequest:
    """Looks the ids of one request up; history items that the catalogue lacks are left out."""
    history = request.history
    rows = catalogue.rows(history.item_ids)
    kept = np.flatnonzero(rows >= 0)
    times = np.asarray(history.timestamps, np.float64)[kept] if len(history.timestamps) else np.zeros(len(kept))
    types = tuple(history.types[at] for at in kept.tolist()) if len(history.types) else ("",) * len(kept)
    changes = np.diff(times) != 0
    steps_back = np.concatenate([np.cumsum(changes[::-1])[::-1], [0]]) if len(kept) else np.zeros(0)
    return EncodedRequest(
        request, rows[kept], types, times, steps_back.astype(np.int64), catalogue.rows(request.candidates.item_ids)
    )
