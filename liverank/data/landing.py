"""A landing folder: what a stream has delivered so far, as Parquet segments whose names are the stream's cursor.

A segment is written aside, flushed to disk and renamed; the rename is the commit. There is no other record of how far a
stream was read, so that a crash at any moment neither loses a row nor delivers one twice. See docs/streams.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank.data.sources.parts import BATCH_ROWS
from liverank.errors import DataError
from liverank.progress import note

NAME: Final = re.compile(r"(?P<stream>.+)\.(?P<first>\d{20})-(?P<last>\d{20})\.parquet")
DRAFT: Final = ".draft"
LOCK: Final = "lock"
LOCK_SECONDS: Final = 600.0
SEGMENT_BYTES: Final = 256 << 20
"""Uncompressed size up to which segments are made one; a segment is read into memory as a whole."""
MOST_SEGMENTS: Final = 16
"""Small neighbours that a stream may have before they are made one."""


@dataclass(frozen=True, order=True)
class Segment:
    """The rows of a stream from cursor `first` to cursor `last`, both included; some cursors may have no row."""

    stream: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.stream}.{self.first:020d}-{self.last:020d}.parquet"

    def covers(self, other: Segment) -> bool:
        """Whether it holds all that `other` holds."""
        return self.stream == other.stream and self.first <= other.first and other.last <= self.last


class Landing:
    """The segments of one source; its streams (partitions) each have a cursor of their own."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = folder
        self.schema = schema

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to change the folder, for one process at a time; what a crash left behind is tidied away first.

        Raises:
            DataError: another run keeps the folder for longer than ten minutes, or it cannot be written.
        """
        with self._locked(fcntl.LOCK_EX):
            for leftover in (*self.folder.glob(f"*{DRAFT}"), *(self.path(old) for old in self._superseded())):
                leftover.unlink()
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The right to read the folder while nobody changes it; any number of processes at a time.

        Raises:
            DataError: another run keeps the folder for longer than ten minutes.
        """
        with self._locked(fcntl.LOCK_SH):
            yield

    def segments(self, stream: str | None = None) -> list[Segment]:
        """The committed segments, by stream and cursor; those that a compaction has replaced are left out."""
        found = self._found()
        replaced = _covered(found)
        return [one for one in found if one not in replaced and stream in (None, one.stream)]

    def cursor(self, stream: str) -> int | None:
        """The last cursor landed; None where nothing is."""
        return max((segment.last for segment in self.segments(stream)), default=None)

    def path(self, segment: Segment) -> Path:
        """Its file."""
        return self.folder / segment.name

    def land(self, segment: Segment, rows: pa.Table) -> None:
        """Commits a segment, or replaces the rows of one of the same name; durable when it returns."""
        draft = self.folder / f"{segment.name}{DRAFT}"
        pq.write_table(rows.cast(self.schema), draft, compression="zstd")
        flush(draft)
        os.replace(draft, self.path(segment))
        flush(self.folder)

    def read(self, segment: Segment, columns: list[str] | None = None) -> pa.Table:
        """The rows of a segment; in one that was landed before a struct got a new field, that is null.

        Args:
            segment: one of `segments()`.
            columns: only these, `struct.field` for one within a struct.

        Raises:
            DataError: its file is damaged.
        """
        try:
            with pq.ParquetFile(self.path(segment)) as file:
                rows = file.read(columns=columns)
            return rows.cast(self.schema) if columns is None else rows
        except (OSError, pa.ArrowException) as problem:
            raise DataError(
                f"{self.path(segment)} cannot be read: {' '.join(str(problem).split())}.",
                "Restore the file from a backup, or delete it and every later one: they are read from the stream again "
                "as far as it still has them.",
            ) from problem

    def drop(self, segments: Iterable[Segment]) -> None:
        """Deletes segments, the latest first, so that a crash leaves a shorter landing and no hole."""
        for segment in sorted(segments, reverse=True):
            self.path(segment).unlink()
        flush(self.folder)

    def compact(self, rows: int = BATCH_ROWS, most: int | None = None) -> int:
        """Makes runs of neighbours one segment of at most `rows` rows, once a stream has more than `most` small ones.

        The merged segment covers its parts, which count no more from its rename on; returns how many were merged.
        """
        merged = 0
        for run in self._runs(rows, MOST_SEGMENTS if most is None else most):
            whole = Segment(run[0].stream, run[0].first, run[-1].last)
            self.land(whole, pa.concat_tables([self.read(part) for part in run]))
            self.drop(run)
            merged += len(run)
        return merged

    def _runs(self, rows: int, most: int) -> Iterator[list[Segment]]:
        segments = self.segments()
        shares = {one: self._share(one, rows) for one in segments}
        for stream in sorted({one.stream for one in segments}):
            own = [one for one in segments if one.stream == stream]
            if sum(shares[one] <= 0.5 for one in own) > most:
                yield from (run for run in _neighbours(own, shares) if len(run) > 1)

    def _share(self, segment: Segment, rows: int) -> float:
        """How much of a full segment it is, in rows or in bytes."""
        facts = pq.read_metadata(self.path(segment))
        size = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
        return max(facts.num_rows / rows, size / SEGMENT_BYTES)

    def _found(self) -> list[Segment]:
        matches = [NAME.fullmatch(path.name) for path in self.folder.glob("*.parquet")]
        return sorted(Segment(one["stream"], int(one["first"]), int(one["last"])) for one in matches if one)

    def _superseded(self) -> set[Segment]:
        return _covered(self._found())

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = open(self.folder / LOCK, "a+")  # noqa: SIM115  closed below
        except OSError as problem:
            raise DataError(
                f"The landing folder {self.folder} cannot be written: {problem}.", "Check the workspace."
            ) from problem
        with file:
            _wait(file.fileno(), kind, self.folder)
            yield


def flush(path: Path) -> None:
    """Makes a file's content, or a folder's names, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _covered(segments: list[Segment]) -> set[Segment]:
    """Segments that another one holds: what a compaction had not deleted yet; `segments` are sorted."""
    covered, widest = set(), None
    for one in sorted(segments, key=lambda segment: (segment.stream, segment.first, -segment.last)):
        if widest is not None and widest.covers(one):
            covered.add(one)
        else:
            widest = one
    return covered


def _neighbours(segments: list[Segment], shares: dict[Segment, float]) -> Iterator[list[Segment]]:
    """Runs without a hole between them that fill one segment at most (or are one)."""
    run: list[Segment] = []
    for one in segments:
        if run and (run[-1].last + 1 != one.first or sum(shares[part] for part in run) + shares[one] > 1):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _wait(handle: int, kind: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    told = False
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError as problem:
            if time.monotonic() > deadline:
                raise DataError(
                    f"Another run has kept {folder} for {LOCK_SECONDS / 60:.0f} minutes.", "Let it end, or stop it."
                ) from problem
        if not told:
            note(f"Another run works in {folder}; waiting for it.")
            told = True
        time.sleep(0.2)
