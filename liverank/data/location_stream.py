"""A file's bytes as they are read: what goes wrong on the way is told as one error that names the file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Final, cast

from liverank.errors import DataError

BUFFER: Final = 1 << 20
"""Bytes asked for at once; a store's client reads further ahead by itself."""


def stream(opened: Callable[[], Any], name: str, size: int | None = None) -> BinaryIO:
    """A buffered reader of what `opened` opens.

    Args:
        opened: opens the file.
        name: what messages call the file.
        size: the bytes it should have; a file that ends before was cut while it was read. None: not known.

    Raises:
        DataError: the file cannot be opened.
    """
    try:
        return cast(BinaryIO, io.BufferedReader(_Watched(opened(), name, size), BUFFER))
    except DataError:
        raise
    except Exception as problem:
        raise unreadable(problem, name) from problem


class _Watched(io.RawIOBase):
    """Passes reads on, and tells their failures as DataErrors."""

    def __init__(self, inner: Any, name: str, size: int | None) -> None:
        self._inner, self._name, self._size = inner, name, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._inner.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._inner.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._inner.read(len(buffer))
        except DataError:
            raise
        except Exception as problem:  # each store's client has exceptions of its own
            raise unreadable(problem, self._name) from problem
        if not block and self._size is not None and self._at < self._size:
            raise DataError(
                f"{self._name} ended after {self._at:,} bytes and had {self._size:,} when it was found: it changed "
                "while it was being read.",
                "Run again when nothing writes to it.",
            )
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


def unreadable(problem: BaseException, name: str) -> DataError:
    """What a failed read means for the user."""
    from liverank.data.locations import told

    if isinstance(problem, EOFError | zlib.error):
        return DataError(f"{name} is cut off or damaged: the compressed data end too early.", "Fetch it again.")
    if isinstance(problem, FileNotFoundError):
        return DataError(f"{name} is no longer there.", "It was found and then removed; run again when it is complete.")
    if isinstance(problem, PermissionError):
        return DataError(f"{name} may not be read: {told(problem)}.", "Give this user the right to read it.")
    return DataError(f"{name} cannot be read: {told(problem)}.", "Check that it is complete and can be reached.")
