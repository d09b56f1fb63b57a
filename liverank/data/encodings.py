"""Files of text as blocks of whole lines in UTF-8, whatever line ends and encoding they have."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO, Final, NoReturn

from liverank.data.locations import Location
from liverank.errors import DataError

BLOCK_BYTES: Final = 8 << 20
LONGEST_LINE: Final = 64 << 20
SAMPLE: Final = 1 << 16
_WIDE_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Two-byte encodings decode many other texts too: only one that yields mostly letters of its script is believed.
# Chinese is asked for last: what is Korean in one encoding reads as Chinese in the other, and seldom the other way.
_SCRIPTS: Final = {"shift_jis": ("\u3040", "\u30ff"), "euc_kr": ("\uac00", "\ud7a3"), "gb18030": ("\u4e00", "\u9fff")}


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
            yield _checked_end(last, location, line)


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


class CutOff(bytes):
    """The last line of a file whose end cuts a letter in two, with a replacement for that letter."""


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
    guess = looks_like(block[max(0, problem.start - SAMPLE // 2) : problem.start + SAMPLE // 2])
    raise DataError(
        f"{location}, line {row:,}, column {column:,} is not UTF-8; the file looks like {guess}.",
        f"Set data.encoding to {guess}, or convert the file: iconv -f {guess} -t utf-8 {location.name}.",
    ) from problem


def _refuse_wide(block: bytes, location: Location) -> None:
    marked = next((name for mark, name in _WIDE_MARKS.items() if block.startswith(mark)), "")
    guess = marked or _wide_guess(block[:SAMPLE])
    if guess:
        raise DataError(
            f"{location}, line 1 is not UTF-8; the file looks like {guess}.",
            f"Set data.encoding to {guess}, or convert the file: iconv -f {guess} -t utf-8 {location.name}.",
        )


def _wide_guess(sample: bytes) -> str:
    """UTF-16 without a mark: text in it has a zero in every other byte of its punctuation and digits."""
    if len(sample) < 4 or sample.count(0) < len(sample) / 4:
        return ""
    return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"


def looks_like(sample: bytes) -> str:
    """Which encoding some bytes that are not UTF-8 seem to be in."""
    for name, (low, high) in _SCRIPTS.items():
        # A sample may begin and end within a letter; one line end at each side is whole.
        text = sample[sample.find(b"\n") + 1 : sample.rfind(b"\n")].decode(name, "replace") or sample.decode(
            name, "replace"
        )
        strange = [letter for letter in text if letter > "\x7f"]
        if strange and sum(low <= letter <= high for letter in strange) > 0.8 * len(strange):
            return name
    # Windows-1252 leaves five bytes without a meaning; Latin-1 has control characters there.
    return "latin-1" if set(sample) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"


class _Transcoded:
    """Reads a stream of another encoding as UTF-8."""

    def __init__(self, content: BinaryIO, encoding: str, location: Location) -> None:
        self._content, self._encoding, self._location = content, encoding, location
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._read = 0

    def read(self, size: int) -> bytes:
        while block := self._content.read(size):
            text = self._decoded(block, final=False)
            if text:
                return text.encode("utf-8")
        return self._decoded(b"", final=True).encode("utf-8")

    def _decoded(self, block: bytes, final: bool) -> str:
        try:
            text = self._decoder.decode(block, final)
        except UnicodeError as problem:
            at = self._read + getattr(problem, "start", 0)
            raise DataError(
                f"{self._location}, byte {at:,} is not {self._encoding}.", "Set data.encoding to the file's encoding."
            ) from problem
        self._read += len(block)
        return text


def text_lines(block: bytes) -> io.StringIO:
    """The lines of a block, ends kept."""
    return io.StringIO(block.decode("utf-8"), newline="\n")
