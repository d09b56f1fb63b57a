"""What the rankers learn from: the training events in columns, and labelled requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.ranking.catalogue import Catalogue as Catalogue
from liverank.ranking.catalogue import Floats as Floats
from liverank.ranking.catalogue import Rows as Rows
from liverank.ranking.catalogue import catalogue_of as catalogue_of
from liverank.ranking.interactions import Events as Events
from liverank.ranking.protocol import Candidates, Context, History, Request, remembered

_FEATURE_FILES = ("items.parquet", "events", "requests.parquet", "split.json")


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
    complete: Events | None = None
    """Events up to the end of the validation's time, with what came late of the training time, for the refit."""
    more_validation: Sequence[LabelledRequest] = field(default=(), repr=False)
    """All validation requests, each made when it is asked for, where `validation` is a sample of them."""


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
    complete = training_events(features, catalogue, _split(features)["validation_until"].timestamp())
    validation = load_requests(features, c.VALIDATION)
    return TrainingData(catalogue, events, validation, str(split.get("hash", "")), complete)


def check_features(features: Path) -> None:
    """Raises a DataError where `features` is no features folder."""
    missing = [name for name in _FEATURE_FILES if not (features / name).exists()]
    if missing:
        raise DataError(f"{features} is no features folder: {missing[0]} is missing.", "Run the features step first.")


def load_catalogue(features: Path) -> Catalogue:
    """The items of a features folder, without embeddings."""
    return catalogue_of(_read(features / "items.parquet"))


def load_events(features: Path, catalogue: Catalogue, split: str = c.TRAIN) -> Events:
    """The events of one split of a features folder; those of items outside the catalogue are left out.

    Training events are those that had arrived when the training time ended.

    Raises:
        DataError: the folder is unfinished or unreadable.
    """
    bounds = _split(features)
    at, known = pc.field(c.TIMESTAMP), pc.field(c.KNOWN_AT)
    chosen = {
        c.TRAIN: known < bounds["train_until"],
        c.VALIDATION: (at >= bounds["validation_from"]) & (at < bounds["validation_until"]),
        c.TEST: at >= bounds["test_from"],
    }[split]
    return _events_where(features, catalogue, chosen)


def training_events(features: Path, catalogue: Catalogue, until: float) -> Events:
    """The events that had arrived before `until` (seconds since 1970), also of a folder that is not finished yet."""
    instant = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(until * 1e6))
    return _events_where(features, catalogue, pc.field(c.KNOWN_AT) < instant)


def train_until(features: Path) -> datetime:
    """End of the training time of a features folder.

    Raises:
        DataError: the folder is unfinished or unreadable.
    """
    return _split(features)["train_until"]


def _split(features: Path) -> dict[str, datetime]:
    try:
        told = json.loads((features / "split.json").read_text(encoding="utf-8"))
        names = ("train_until", "validation_from", "validation_until", "test_from")
        return {name: datetime.fromisoformat(told[name]) for name in names}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{features} is no features folder ({problem}).", "Run the features step first.") from problem


def _events_where(features: Path, catalogue: Catalogue, chosen: Any) -> Events:
    names = [c.USER_ID, c.ITEM_ID, c.TYPE, c.WEIGHT, c.TIMESTAMP]
    return events_of(_read(features / "events", names, chosen, names[:3]), catalogue)


def events_of(table: pa.Table, catalogue: Catalogue) -> Events:
    """Columns of events in any order of users and times, with a `weight` column; equal times keep their order."""
    rows = _mapped(table[c.ITEM_ID], catalogue.index)
    if not (rows >= 0).all():
        table, rows = table.filter(pa.array(rows >= 0)), rows[rows >= 0]
    users, types = _encoded(table[c.USER_ID]), _encoded(table[c.TYPE])
    micros = table[c.TIMESTAMP].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    order = np.lexsort((micros, users[0]))
    return Events(
        user=users[0][order].astype(np.int32),
        item=rows[order].astype(np.int32),
        type=types[0][order].astype(np.int16),
        weight=table[c.WEIGHT].fill_null(1.0).to_numpy()[order].astype(np.float32),
        timestamp=micros[order] / 1e6,
        users=users[1],
        types=types[1],
    )


def _mapped(column: pa.ChunkedArray, index: Mapping[str, int]) -> Rows:
    codes, names = _encoded(column)
    rows = np.asarray([index.get(name, -1) for name in names], np.int64)
    return rows[codes] if len(names) else np.zeros(0, np.int64)


def _encoded(column: pa.ChunkedArray) -> tuple[Rows, tuple[str, ...]]:
    """Each value's place among the sorted distinct ones, and those."""
    encoded = column.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    used = np.bincount(codes, minlength=len(names)) > 0
    place = np.zeros(len(names), np.int64)
    order = sorted(np.flatnonzero(used).tolist(), key=names.__getitem__)
    place[order] = np.arange(len(order))
    return place[codes], tuple(names[at] for at in order)


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


def _read(
    path: Path, columns: list[str] | None = None, filters: Any = None, encoded: Sequence[str] | None = None
) -> pa.Table:
    try:
        # A sorted list: the files of a folder are read in the order of their days.
        files = sorted(path.glob("*.parquet")) if path.is_dir() else path
        return pq.read_table(files, columns=columns, filters=filters, read_dictionary=encoded)
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
    return over_history(catalogue, request, catalogue.rows(request.candidates.item_ids))


def over_history(catalogue: Catalogue, request: Request, candidates: Rows) -> EncodedRequest:
    """As `encode`, where the rows of the candidates are at hand."""
    history = request.history
    known = remembered(history, catalogue, "known", lambda: _known(catalogue, history))
    return EncodedRequest(request, *known, candidates)


def texts_of_unknown(request: EncodedRequest) -> dict[int, str]:
    """The texts that came with candidates outside the catalogue, by their place in the list."""
    given = request.request.candidates
    if not given.texts:
        return {}
    unknown = np.flatnonzero(request.candidates < 0).tolist()
    return {at: text for at in unknown if (text := given.texts.get(given.item_ids[at], ""))}


def _known(catalogue: Catalogue, history: History) -> tuple[Rows, tuple[str, ...], npt.NDArray[np.float64], Rows]:
    """Rows, types, times and steps back of the events whose items the catalogue has."""
    rows = catalogue.rows(history.item_ids)
    kept = np.flatnonzero(rows >= 0)
    times = np.asarray(history.timestamps, np.float64)[kept] if len(history.timestamps) else np.zeros(len(kept))
    types = tuple(history.types[at] for at in kept.tolist()) if len(history.types) else ("",) * len(kept)
    changes = times[1:] != times[:-1]
    steps_back = np.concatenate([np.cumsum(changes[::-1])[::-1], [0]]) if len(kept) else np.zeros(0)
    return rows[kept], types, times, steps_back.astype(np.int64)
