"""Features of past days kept as parts: a part is some whole UTC days of arrival, and depends on no later day.

Days are taken together until a part is large enough, from the first day on; so a new day changes the last part at most,
and days of few events do not make a file each. A part is valid while the input rows of its days, all parts before it
and the settings are what they were; the first that is not is computed anew, with all that follow.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.progress import note

EVENTS, ITEM_DAYS, TRAILING, REQUEST_KEYS, PAIRS = KINDS = ("events", "item_days", "trailing", "request_keys", "pairs")
_LIST: Final = "parts.json"
_EPOCH: Final = date(1970, 1, 1)
_UNIQUE: Final = frozenset(
    (c.EVENT_ID, c.IMPRESSION_ID, c.REQUEST_ID, c.TIMESTAMP, c.KNOWN_AT, c.GAP_SECONDS, c.SINCE_ITEM_SECONDS, "micros")
)


@dataclass(frozen=True)
class Day:
    """The input rows of one day of arrival."""

    day: int
    """Days since 1970-01-01."""
    rows: int
    content: str
    """Tells other rows apart, in any order."""


@dataclass(frozen=True)
class Part:
    """Some days whose features are in one file of each kind."""

    first: int
    last: int
    fingerprint: str

    @property
    def file(self) -> str:
        """Name of its files: the first day's date."""
        return f"{(_EPOCH + timedelta(days=self.first)).isoformat()}.parquet"


def planned(days: Sequence[Day], size: int) -> list[Part]:
    """The parts of these days, oldest first: each ends with the day that brings it to `size` rows."""
    parts: list[Part] = []
    group: list[Day] = []
    for at, day in enumerate(sorted(days, key=lambda one: one.day)):
        group.append(day)
        if sum(one.rows for one in group) >= size or at == len(days) - 1:
            # A part that the size closed and one that only the end of the data did are told apart by their rows.
            told = json.dumps([[one.day, one.rows, one.content] for one in group])
            fingerprint = hashlib.sha256(told.encode()).hexdigest()
            parts.append(Part(group[0].day, group[-1].day, fingerprint))
            group = []
    return parts


class PartStore:
    """A folder of parts: `<kind>/<first day>.parquet` and the list of those that are complete."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._digests: dict[str, str] = {}
        """File, as `<kind>/<name>` -> SHA-256, of what is known to be whole."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes here meanwhile; waits for who does.

        Raises:
            DataError: the folder cannot be made or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / ".lock", "w", encoding="utf-8")  # noqa: SIM115  closed below
        except OSError as problem:
            raise DataError(
                f"{self.folder}, where the features of past days are kept, cannot be written: {problem.strerror}.",
                "Make it a folder that can be, or set another workspace.",
            ) from problem
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def keep(self, wanted: Sequence[Part]) -> int:
        """How many of the first `wanted` parts are there, valid and whole; all else in the folder is deleted."""
        there = self._listed()
        valid = 0
        for part, known in zip(wanted, there, strict=False):
            if part != known or not all(self._whole(kind, part) for kind in KINDS):
                break
            valid += 1
        self._list(wanted[:valid])
        files = {part.file for part in wanted[:valid]}
        for kind in KINDS:
            (self.folder / kind).mkdir(exist_ok=True)
            for path in (self.folder / kind).iterdir():
                if path.name not in files:
                    path.unlink()
        return valid

    def path(self, kind: str, part: Part) -> Path:
        """The file of one kind of a part."""
        return self.folder / kind / part.file

    def write(self, kind: str, part: Part, table: pa.Table) -> None:
        """Writes one file, aside and then in its place."""
        write_aside(table, self.path(kind, part))
        self._digests[f"{kind}/{part.file}"] = _digest(self.path(kind, part))

    def _whole(self, kind: str, part: Part) -> bool:
        """Whether the file holds the bytes that were written; one that does not is told and computed anew."""
        path = self.path(kind, part)
        if path.is_file() and _digest(path) == self._digests.get(f"{kind}/{part.file}"):
            return True
        note(f"{path} is damaged or gone: its days are computed anew.")
        return False

    def complete(self, parts: Sequence[Part]) -> None:
        """Says that all files of these parts, the first ones, are there."""
        self._list(parts)

    def _listed(self) -> list[Part]:
        try:
            told = json.loads((self.folder / _LIST).read_text(encoding="utf-8"))
            self._digests = dict(told["digests"])
            return [Part(**one) for one in told["parts"]] if told["key"] == self.key else []
        except (OSError, ValueError, KeyError, TypeError):
            return []  # nothing was kept, or not by this version

    def _list(self, parts: Sequence[Part]) -> None:
        files = {f"{kind}/{part.file}" for part in parts for kind in KINDS}
        digests = {name: digest for name, digest in sorted(self._digests.items()) if name in files}
        told = {"key": self.key, "parts": [vars(part) for part in parts], "digests": digests}
        aside = self.folder / f"{_LIST}.part"
        aside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        aside.replace(self.folder / _LIST)

    def hand_out(self, kind: str, parts: Sequence[Part], folder: Path) -> None:
        """Makes `folder` hold exactly this kind of these parts; the files are shared with the store where they can."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for part in parts:
            source, target = self.path(kind, part), folder / part.file
            try:
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_aside(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file that is either whole or not there.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f"{path.name}.part")
    try:
        pq.write_table(table.combine_chunks(), aside, compression="zstd", use_dictionary=_repeating(table.schema))
        aside.replace(path)
    except OSError as problem:
        aside.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {problem}.", "Make room, then run the step again.") from problem


def _repeating(schema: pa.Schema) -> list[str] | bool:
    """The columns whose values repeat: to look for copies among the others takes most of the writing."""
    if any(pa.types.is_nested(field.type) for field in schema):
        return True
    return [name for name in schema.names if name not in _UNIQUE]
