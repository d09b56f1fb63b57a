"""Lines kept in files of a folder, on disk once `append` returns; many that wait share one flush."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from liverank.data.landing import flush
from liverank.errors import OutputError


class FullError(Exception):
    """Too many lines wait for the disk."""


class EventFiles:
    """Appends lines to `events-<day>-<random>.jsonl`.

    A file belongs to one process and one day, and none is written again after a write to it has failed or a process
    has ended: a line that was cut short stays the last of its file, and was never acknowledged.
    """

    def __init__(self, folder: Path, bound: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Makes the folder; `bound` lines may wait.

        Raises:
            OutputError: the folder cannot be written.
        """
        self._folder = folder
        self._bound = bound
        self._clock = clock
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._file: tuple[str, int] | None = None
        """Day and descriptor of the file that grows."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._open(self._day())
        except OSError as problem:
            raise OutputError(f"{folder} cannot be written: {problem.strerror}.") from problem

    async def append(self, line: bytes) -> None:
        """Returns once the line is on disk.

        Raises:
            FullError: too many wait.
            OSError: the disk refuses; the line may be there all the same.
        """
        if len(self._waiting) >= self._bound:
            raise FullError(f"{self._bound:,} events wait for the disk")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        await future

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file[1])
            self._file = None

    async def _write(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._keep, [line for line, _ in taken])
            except OSError as problem:
                self.close()
                for _, future in taken:
                    if not future.done():
                        future.set_exception(problem)
            else:
                for _, future in taken:
                    if not future.done():
                        future.set_result(None)

    def _keep(self, lines: Sequence[bytes]) -> None:
        day = self._day()
        if self._file is None or self._file[0] != day:
            self.close()
            self._open(day)
        assert self._file is not None
        rest = memoryview(b"".join(line + b"\n" for line in lines))
        while rest:
            rest = rest[os.write(self._file[1], rest) :]
        os.fsync(self._file[1])

    def _open(self, day: str) -> None:
        path = self._folder / f"events-{day}-{secrets.token_hex(4)}.jsonl"
        self._file = (day, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640))
        flush(self._folder)

    def _day(self) -> str:
        return f"{self._clock():%Y-%m-%d}"
