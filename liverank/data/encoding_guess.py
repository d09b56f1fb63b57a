"""Which encoding text that is not UTF-8 seems to be in, as far as its letters tell."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any, Final

from liverank.errors import DataError

SAMPLE: Final = 1 << 16
"""Bytes that are looked at."""
ENOUGH: Final = 30
"""Bytes beyond ASCII from which on letters tell anything for certain."""
_WIDE_MARKS: Final = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What files are in most often; one of them is named where it reads the same as what was found.
_USUAL: Final = ("cp1252", "cp1250", "cp1251", "koi8-r", "cp1253", "gb18030", "big5", "cp932", "euc_jp", "cp949")
_BEYOND_ASCII: Final = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")


@dataclass(frozen=True)
class Guess:
    """The likeliest encodings, the best first."""

    names: tuple[str, ...]
    sure: bool
    reads: str
    """The beginning of the first line beyond ASCII, read in the best."""

    def error(self, place: str, file: str) -> DataError:
        """What a person needs to know who reads a file that is not UTF-8.

        Args:
            place: file, line and perhaps column.
            file: the file's name, for a command.
        """
        if not self.names:
            return DataError(
                f"{place} is not UTF-8, and nothing tells what it is.",
                "Set data.encoding to the file's encoding, or check that the file is text and not damaged.",
            )
        best, reads = self.names[0], f" ({self.reads!r})" if self.reads else ""
        if self.sure:
            return DataError(
                f"{place} is not UTF-8; the file looks like {best}{reads}.",
                f"Set data.encoding to {best}, or convert the file: iconv -f {best.replace('_', '-')} -t utf-8 {file}.",
            )
        return DataError(
            f"{place} is not UTF-8; the file may be in {' or '.join(self.names)}; in {best} it reads{reads}.",
            "Ask whoever wrote the file, then set data.encoding; letters read in a wrong one become others.",
        )


def wide(block: bytes) -> Guess | None:
    """Of a file's beginning: UTF-16 or UTF-32, by its mark or by the zeros of its ASCII letters; else None."""
    marked = next((name for mark, name in _WIDE_MARKS.items() if block.startswith(mark)), "")
    name = marked or _by_zeros(block[:SAMPLE])
    return Guess((name,), True, "") if name else None


def _by_zeros(sample: bytes) -> str:
    quarters = [sample[at::4].count(0) for at in range(4)]
    if sum(quarters) < max(8, len(sample) / 20):
        return ""
    if sum(quarters) > 0.6 * len(sample):
        if min(quarters) > len(sample) / 40:
            return ""
        return "utf-32-be" if quarters[0] > quarters[3] else "utf-32-le"
    even, odd = quarters[0] + quarters[2], quarters[1] + quarters[3]
    # Zeros on both sides are no text in UTF-16: someone filled a file up with them.
    if min(even, odd) * 10 > max(even, odd):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def looks_like(content: bytes) -> Guess:
    """Which encoding some lines that are not UTF-8 seem to be in."""
    from charset_normalizer import from_bytes

    sample = _beyond_ascii(content)
    matches = list(from_bytes(sample))
    found: list[tuple[str, Any]] = []
    for match in matches:
        name = _usual(sample, match)
        if name not in [known for known, _ in found]:
            found.append((name, match))
    names = [name for name, _ in found[:3]]
    enough = sum(byte > 0x7F for byte in sample) >= ENOUGH
    sure = enough and len(found) > 0 and (len(found) == 1 or _better(found[0][1], found[1][1]))
    if not sure and _reads(sample, "cp1252"):
        # A few letters tell next to nothing: what most such files are in goes first.
        others = [name for name, _ in found if name in _USUAL and name != "cp1252"][:2]
        names = [*others, "cp1252"] if enough and names and names[0] in others else ["cp1252", *others]
    return Guess(tuple(names), sure, _beginning(sample, names[0]) if names else "")


def _beyond_ascii(content: bytes) -> bytes:
    """The lines that are not ASCII, as many as are looked at: others tell nothing."""
    parts, size = [], 0
    for line in _BEYOND_ASCII.finditer(content):
        if size and size + len(line[0]) > SAMPLE:
            break
        parts.append(line[0][:SAMPLE])
        size += len(line[0])
    return b"".join(parts)


def _better(first: Any, second: Any) -> bool:
    """Whether one reading has clearly less chaos, or the letters of a language at no more chaos."""
    less = second.chaos - first.chaos
    return bool(less > 0.03 or (less >= 0 and first.coherence - second.coherence > 0.05))


def _usual(sample: bytes, match: Any) -> str:
    same = (name for name in _USUAL if _reads(sample, name) == str(match))
    return next(same, codecs.lookup(match.encoding).name)


def _reads(sample: bytes, name: str) -> str | None:
    try:
        return sample.decode(name)
    except UnicodeError:
        return None


def _beginning(sample: bytes, name: str) -> str:
    line = (_reads(sample, name) or "").split("\n", 1)[0]
    at = next((at for at, letter in enumerate(line) if letter > "\x7f"), 0)
    return line[max(0, at - 15) : at + 25].strip()
