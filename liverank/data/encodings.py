"""Files of text as blocks of whole lines in UTF-8, whatever line ends and encoding they have."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn

from liverank.data.encoding_guess import looks_like, wide
from liverank.data.locations import Location
from liverank.errors import DataError

BLOCK_BYTES: Final = 8 << 20
LONGEST_LINE: Final = 64 << 20


def blocks(location: Location, encoding: str = "", size: int = BLOCK_BYTES) -> Iterator[bytes]:
    r"""The file's content in UTF-8, cut after line ends, each of which is one `\n`; the last line gets one too.

    Args:
        location: the file.
        encoding: of the file, as Python names it; empty: UTF-8, with or without a byte order mark.
        size: bytes a block should have; a longer line makes a longer block.

    Raises:
        DataError: the content is in another encoding; the message says where, and in which it seems to be.
    """
    with location.open() as content:
        source = _Transcoded(content, encoding, location) if encoding else content
        first, line, rest = True, 1, b""
        while block := source.read(size):
            if first:
                _refuse_wide(block, location)
                block, first = block.removeprefix(codecs.BOM_UTF8), False
            rest = _unified(rest + block)
            whole, rest = _cut(rest)
            if len(rest) > LONGEST_LINE:
                number = line + whole.count(b"\n")
                raise DataError(
                    f"{location}, line {number:,} is longer than {LONGEST_LINE:,} bytes.",
                    "Check that the file is text, one record a line.",
                )
            if whole:
                _check(whole, location, line)
                yield whole
                line += whole.count(b"\n")
        if rest:
            last = rest.removesuffix(b"\r").removesuffix(b"\n") + b"\n"
            checked = _checked_end(last, location, line)
            # A carriage return at the very end was held back, and is a line end.
            yield checked if rest.endswith(b"\r") or isinstance(checked, CutOff) else Unended(checked)


def _cut(block: bytes) -> tuple[bytes, bytes]:
    at = block.rfind(b"\n") + 1
    return block[:at], block[at:]


def _unified(block: bytes) -> bytes:
    if b"\r" not in block:
        return block
    # The partner of a carriage return at the very end may come with the next block.
    held = b"\r" if block.endswith(b"\r") else b""
    return block[: len(block) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held


def _check(block: bytes, location: Location, line: int) -> None:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as problem:
        _refuse(block, problem, location, line)


class Unended(bytes):
    """The last line of a file that ends without a line end, with one."""


class CutOff(Unended):
    """The same where the file's end cuts a letter in two, with a replacement for that letter."""


def _checked_end(block: bytes, location: Location, line: int) -> bytes:
    """The last line; one whose last letter is cut in two is a `CutOff`, to be set aside."""
    try:
        block.decode("utf-8")
        return block
    except UnicodeDecodeError as problem:
        if problem.end < len(block) - 1 or len(block) - problem.start > 4:
            _refuse(block, problem, location, line)
        return CutOff(block[: problem.start] + "\ufffd".encode() + b"\n")


def _refuse(block: bytes, problem: UnicodeDecodeError, location: Location, line: int) -> NoReturn:
    before = block[: problem.start]
    row = line + before.count(b"\n")
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
    guess = looks_like(block[block.rfind(b"\n", 0, problem.start) + 1 :])
    raise guess.error(f"{location}, line {row:,}, column {column:,}", location.name) from problem


def _refuse_wide(block: bytes, location: Location) -> None:
    guess = wide(block)
    if guess:
        raise guess.error(f"{location}, line 1", location.name)


class _Transcoded:
    """Reads a stream of another encoding as UTF-8."""

    def __init__(self, content: BinaryIO, encoding: str, location: Location) -> None:
        self._content, self._encoding, self._location = content, encoding, location
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._line, self._column = 1, 1

    def read(self, size: int) -> bytes:
        while block := self._content.read(size):
            text = self._decoded(block, final=False)
            if text:
                return text.encode("utf-8")
        return self._decoded(b"", final=True).encode("utf-8")

    def _decoded(self, block: bytes, final: bool) -> str:
        before = self._decoder.getstate()
        try:
            text = self._decoder.decode(block, final)
        except UnicodeError as problem:
            self._decoder.setstate(before)
            self._move(self._readable(block, problem))
            raise DataError(
                f"{self._location}, line {self._line:,}, column {self._column:,} is not {self._encoding}.",
                "Set data.encoding to the file's encoding; empty for UTF-8.",
            ) from problem
        self._move(text)
        return text

    def _readable(self, block: bytes, problem: UnicodeError) -> str:
        """What of a block can be read: the text before the byte that cannot."""
        if not isinstance(problem, UnicodeDecodeError):
            return ""
        rest = len(problem.object) - problem.start
        return self._decoder.decode(block[: max(0, len(block) - rest)])

    def _move(self, text: str) -> None:
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        ends = text.count("\n")
        self._line += ends
        self._column = len(text) - text.rfind("\n") if ends else self._column + len(text)


def text_lines(block: bytes) -> io.StringIO:
    """The lines of a block, ends kept."""
    return io.StringIO(block.decode("utf-8"), newline="\n")
