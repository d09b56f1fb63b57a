"""Charts as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

_WIDTH: Final = 920
_LABEL: Final = 390
_ROW: Final = 30
_NUMBERS: Final = 150
_SHARE_LABEL: Final = 220
_STEP: Final = 60.0
"""Width of an upright bar with its gap, where there is room."""
_ENDS: Final = 250.0
"""Width of the two labels at the ends of an axis."""


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
    return (
        f"<g><title>{escape(about.get(label, label))}</title>"
        f'<text x="{_LABEL - 12}" y="{top + 15}" class="label">{escape(_short(label, 56))}</text>'
        f'<rect x="{_LABEL}" y="{top}" width="{length:.1f}" height="20" rx="3"/>'
        f'<text x="{_LABEL + length + 8:.1f}" y="{top + 15}" class="number">'
        f"{count:,} · {count / max(1, total):.2%}</text></g>"
    )


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def columns(points: Sequence[tuple[str, float, str]], unit: str, width: int = _WIDTH) -> str:
    """Upright bars from the first to the last, with the largest value and the ends of the axis written.

    Args:
        points: label, value and colour class ("", "new", "bad") of each bar.
        unit: what the values are.
        width: of the chart, in pixels where there is room.
    """
    if not points:
        return ""
    largest, height = max(value for _, value, _ in points) or 1.0, 90
    # Few bars are wide enough that the labels of the first and the last have room below them.
    step = min(width / len(points), max(_STEP, _ENDS / len(points)) if len(points) > 1 else _STEP)
    drawn = "".join(
        _column(place * step, step, point, height * point[1] / largest, height + 18, unit)
        for place, point in enumerate(points)
    )
    end = step * len(points) if len(points) > 1 else 0.0
    ends = f'<text x="0" y="{height + 34}" class="number">{escape(points[0][0])}</text>'
    if end:
        ends += f'<text x="{end:.1f}" y="{height + 34}" class="number label">{escape(points[-1][0])}</text>'
    top = f'<text x="0" y="11" class="number">at most {_number(largest)} {escape(unit)}</text>'
    return (
        f'<svg class="bars" viewBox="0 0 {width} {height + 42}" role="img" aria-label="{escape(unit)}">'
        f"{top}{drawn}{ends}</svg>"
    )


def _column(left: float, step: float, point: tuple[str, float, str], length: float, floor: float, unit: str) -> str:
    label, value, kind = point
    width = max(0.6, step - (2 if step > 5 else 0.4))
    length = max(0.8, length)
    return (
        f"<g><title>{escape(label)}: {_number(value)} {escape(unit)}</title>"
        f'<rect class="{kind}" x="{left:.2f}" y="{floor - length:.2f}" width="{width:.2f}" height="{length:.2f}"/></g>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"


def shares(lines: Sequence[tuple[str, float, float | None]], names: tuple[str, str]) -> str:
    """Horizontal bars of shares, now and, where known, before.

    Args:
        lines: label, share now, share before (None: nothing to compare with).
        names: what the two are called.
    """
    compared = any(before is not None for _, _, before in lines)
    row = 38 if compared else 28
    largest = max([share for _, now, before in lines for share in (now, before or 0.0)] + [1e-9])
    drawn = "".join(_share(place * row + 4, line, largest, names) for place, line in enumerate(lines))
    return (
        f'<svg class="bars" viewBox="0 0 {_WIDTH} {row * len(lines) + 4}" role="img" '
        f'aria-label="Shares {escape(names[0])}">{drawn}</svg>'
    )


def _share(top: int, line: tuple[str, float, float | None], largest: float, names: tuple[str, str]) -> str:
    label, now, before = line
    space = _WIDTH - _SHARE_LABEL - 200
    length = max(1.0, space * now / largest)
    text = f"{now:.1%}" + ("" if before is None else f" · {before:.1%} {names[1]}")
    end = max(length, space * (before or 0.0) / largest)
    old = "" if before is None else _before(top, max(1.0, space * before / largest))
    return (
        f'<g><title>{escape(label)}: {text}</title><text x="{_SHARE_LABEL - 12}" y="{top + 14}" class="label">'
        f'{escape(_short(label, 30))}</text><rect x="{_SHARE_LABEL}" y="{top}" width="{length:.1f}" height="16" '
        f'rx="2"/>{old}<text x="{_SHARE_LABEL + end + 8:.1f}" y="{top + 13}" class="number">{text}</text></g>'
    )


def _before(top: int, length: float) -> str:
    return f'<rect class="before" x="{_SHARE_LABEL}" y="{top + 17}" width="{length:.1f}" height="8" rx="2"/>'
