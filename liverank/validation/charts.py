"""A bar chart as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 920
_LABEL: Final = 390
_ROW: Final = 30
_NUMBERS: Final = 150


def bars(counts: Sequence[tuple[str, int]], total: int, about: Mapping[str, str]) -> str:
    """Horizontal bars, longest first.

    Args:
        counts: label and number of rows of each bar.
        total: the rows of which each number is told as a share.
        about: label -> explanation, shown by the browser when the pointer rests on the bar.
    """
    largest = max(count for _, count in counts)
    lines = "".join(_bar(place, label, count, largest, total, about) for place, (label, count) in enumerate(counts))
    height = _ROW * len(counts) + 4
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Rows set aside by reason">{lines}</svg>'
    )


def _bar(place: int, label: str, count: int, largest: int, total: int, about: Mapping[str, str]) -> str:
    top = place * _ROW + 4
    length = max(2.0, (_WIDTH - _LABEL - _NUMBERS) * count / largest)
    short = label if len(label) <= 56 else label[:55] + "…"
    return (
        f"<g><title>{escape(about.get(label, label))}</title>"
        f'<text x="{_LABEL - 12}" y="{top + 15}" class="label">{escape(short)}</text>'
        f'<rect x="{_LABEL}" y="{top}" width="{length:.1f}" height="20" rx="3"/>'
        f'<text x="{_LABEL + length + 8:.1f}" y="{top + 15}" class="number">'
        f"{count:,} · {count / max(1, total):.2%}</text></g>"
    )
