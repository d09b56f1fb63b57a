"""The scripts that texts are written in, told from their characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.data.profile.engine import Engine
from liverank.data.profile.supply import MOST_TEXTS

_RANGES: Final = (
    ("Latin", ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))),
    ("Greek", ((0x370, 0x3FF), (0x1F00, 0x1FFF))),
    ("Cyrillic", ((0x400, 0x52F),)),
    ("Armenian", ((0x530, 0x58F),)),
    ("Hebrew", ((0x590, 0x5FF), (0xFB1D, 0xFB4F))),
    ("Arabic", ((0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))),
    ("Indic", ((0x900, 0xDFF),)),
    ("Thai and Lao", ((0xE00, 0xEFF),)),
    ("Georgian", ((0x10A0, 0x10FF),)),
    ("Hangul", ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7AF))),
    ("Kana", ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
    ("Han", ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))),
    ("Emoji", ((0x2600, 0x27BF), (0x1F000, 0x1FAFF))),
)
NAMES: Final = tuple(name for name, _ in _RANGES)
_TABLE: Final = sorted((low, high, at) for at, (_, spans) in enumerate(_RANGES) for low, high in spans)
_LOWS: Final = np.asarray([low for low, _, _ in _TABLE], np.uint32)
_HIGHS: Final = np.asarray([high for _, high, _ in _TABLE], np.uint32)
_SCRIPT: Final = np.asarray([at for _, _, at in _TABLE], np.int64)


def characters(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Characters of each script in each text, `[texts, scripts]`; digits, marks and spaces count for none."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    at = np.searchsorted(_LOWS, points, side="right") - 1
    inside = (at >= 0) & (points <= _HIGHS[np.maximum(at, 0)])
    cells = owner[inside] * len(NAMES) + _SCRIPT[at[inside]]
    return np.bincount(cells, minlength=len(texts) * len(NAMES)).reshape(len(texts), len(NAMES))


def main_scripts(texts: Sequence[str]) -> Counter[str]:
    """How many texts are mostly in each script; Japanese is where kana stand among the Han."""
    found = characters(texts)
    kana, han = NAMES.index("Kana"), NAMES.index("Han")
    japanese = (found[:, kana] > 0) & (found[:, kana] * 10 >= found[:, han])
    best = found.argmax(axis=1)
    names: Counter[str] = Counter()
    for at, count in enumerate(found.sum(axis=1)):
        mixed = japanese[at] and best[at] in (kana, han)
        names["no letters" if not count else "Japanese" if mixed else NAMES[best[at]]] += 1
    return names


def scripts(engine: Engine) -> dict[str, Any]:
    """Main script of each item's title and text.

    Returns:
        `looked_at`: items read, a deterministic sample where there are very many; `scripts`: `[{name, n}]`, the most
        frequent first; `emoji`: items with one.
    """
    rows = engine.rows(
        "SELECT left(concat_ws(' ', title, text), 2000) AS words FROM items ORDER BY hash(item_id), item_id LIMIT ?",
        MOST_TEXTS,
    )
    texts = [row["words"] for row in rows]
    with_emoji = int((characters(texts)[:, NAMES.index("Emoji")] > 0).sum()) if texts else 0
    return {
        "looked_at": len(texts),
        "scripts": [{"name": name, "n": n} for name, n in sorted(main_scripts(texts).items(), key=_most_first)],
        "emoji": with_emoji,
    }


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
