"""Charts as inline SVG: small functions from figures to text; the page's style gives the colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from liverank.data.profile.numbers import powers, short, ticks

LEFT: Final = 50
RIGHT: Final = 22
TOP: Final = 12
BOTTOM: Final = 40
Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Where values of one kind lie: from `low` to `high`, on a log scale or not, with named ticks."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    log: bool = False

    def part(self, value: float) -> float:
        """0 at the axis's start, 1 at its end."""
        if self.log:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low) if self.high > self.low else 0.0


def linear(largest: float, said: Callable[[float], str] = short) -> Axis:
    """From 0 to a round number."""
    at = ticks(largest)
    return Axis(0, at[-1], [(value, said(value)) for value in at])


def logarithmic(low: float, high: float, said: Callable[[float], str] = short) -> Axis:
    """Whole powers of ten."""
    at = powers(low, high)
    every = max(1, -(-len(at) // 7))
    return Axis(at[0], at[-1], [(value, said(value)) for value in at[::every]], log=True)


@dataclass(frozen=True)
class Line:
    """One line: its name, points, and a band of (x, low, high) around it; `series` picks its colour."""

    name: str
    points: Pairs
    band: Sequence[tuple[float, float, float]] = ()
    series: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Frame:
    """The room of a chart, and its axes."""

    x: Axis
    y: Axis
    width: float = 520
    height: float = 250

    def across(self, value: float) -> float:
        """Place of an x value."""
        return LEFT + self.x.part(value) * (self.width - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """Place of a y value."""
        return self.height - BOTTOM - self.y.part(value) * (self.height - BOTTOM - TOP)

    def _anchor(self, at: float, text: str) -> str:
        # Some 6 units a character: a long name at either end would run out of the chart or into the other axis.
        half, place = 3 * len(text), self.across(at)
        if place - half < LEFT - 8:
            return "start"
        return "end" if place + half > self.width else "middle"

    def drawn(self, about: str, inside: str, x_title: str = "", y_title: str = "") -> str:
        """The chart with grid, ticks and titles."""
        base = self.height - BOTTOM
        grid = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{self.up(at):.1f}" y2="{self.up(at):.1f}"/>'
            f'<text class="tick end" x="{LEFT - 6}" y="{self.up(at) + 4:.1f}">{escape(text)}</text>'
            for at, text in self.y.marks
        )
        below = "".join(
            f'<text class="tick {self._anchor(at, text)}" x="{self.across(at):.1f}" y="{base + 15:.1f}">{escape(text)}'
            "</text>"
            for at, text in self.x.marks
        )
        middle = (LEFT + self.width - RIGHT) / 2
        titles = f'<text class="title middle" x="{middle}" y="{self.height - 6}">{escape(x_title)}</text>'
        if y_title:
            place = (TOP + base) / 2
            titles += (
                f'<text class="title middle" x="11" y="{place}" transform="rotate(-90 11 {place})">'
                f"{escape(y_title)}</text>"
            )
        # Without a title the room for it goes.
        return _picture(self.width, self.height - (0 if x_title else 18), about, grid + below + inside + titles)


def lines(frame: Frame, series: Sequence[Line], about: str, x_title: str = "", y_title: str = "") -> str:
    """Lines with their bands; a legend where there is more than one."""
    inside = "".join(_band(frame, line) for line in series) + "".join(_line(frame, line) for line in series)
    names = [(line.name, line.series) for line in series if line.name]
    return (legend(names) if len(names) > 1 else "") + frame.drawn(about, inside, x_title, y_title)


def _line(frame: Frame, line: Line) -> str:
    path = " ".join(f"{frame.across(x):.1f},{frame.up(y):.1f}" for x, y in line.points)
    dashes = " dashed" if line.dashed else ""
    dots = ""
    if len(line.points) <= 40 and not line.dashed:
        dots = "".join(
            f'<circle class="f{line.series}" cx="{frame.across(x):.1f}" cy="{frame.up(y):.1f}" r="2.4"/>'
            for x, y in line.points
        )
    return f'<polyline class="s{line.series}{dashes}" points="{path}"/>{dots}'


def _band(frame: Frame, line: Line) -> str:
    if not line.band:
        return ""
    over = [f"{frame.across(x):.1f},{frame.up(high):.1f}" for x, _, high in line.band]
    under = [f"{frame.across(x):.1f},{frame.up(low):.1f}" for x, low, _ in reversed(line.band)]
    return f'<polygon class="band f{line.series}" points="{" ".join(over + under)}"/>'


def legend(names: Sequence[tuple[str, int]]) -> str:
    """Names beside their colours."""
    entries = "".join(f'<span><i class="b{series}"></i>{escape(name)}</span>' for name, series in names)
    return f'<div class="legend">{entries}</div>'


def stacked(
    labels: Sequence[str],
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    about: str,
    marks: Sequence[tuple[int, str]],
    y_title: str = "",
) -> str:
    """Columns, each a stack.

    Args:
        labels: what each column is, shown by the browser when the pointer rests on it.
        names: of the layers, the lowest first.
        values: `[columns][layers]`.
        about: the chart in words.
        marks: columns that are named below.
        y_title: what is counted.
    """
    tallest = max((sum(column) for column in values), default=0)
    axis = Axis(0, max(1, len(values)), [(at + 0.5, text) for at, text in marks])
    frame = Frame(axis, linear(tallest), width=1080, height=260)
    width = (frame.across(1) - frame.across(0)) * (0.86 if len(values) < 200 else 1)
    inside = "".join(
        f"<g><title>{escape(_tip(label, names, column))}</title>{_stack(frame, at, width, column)}</g>"
        for at, (label, column) in enumerate(zip(labels, values, strict=True))
    )
    named = legend([(name, at) for at, name in enumerate(names)]) if len(names) > 1 else ""
    return named + frame.drawn(about, inside, "", y_title)


def _tip(label: str, names: Sequence[str], column: Sequence[float]) -> str:
    return f"{label}: " + ", ".join(f"{name} {value:,.0f}" for name, value in zip(names, column, strict=True) if value)


def _stack(frame: Frame, at: int, width: float, column: Sequence[float]) -> str:
    parts, below = "", 0.0
    left = frame.across(at + 0.5) - width / 2
    for layer, value in enumerate(column):
        if value:
            high, low = frame.up(below + value), frame.up(below)
            place = f'x="{left:.2f}" y="{high:.2f}" width="{width:.2f}" height="{low - high:.2f}"'
            parts += f'<rect class="f{layer}" {place}/>'
            below += value
    return parts


def columns(bins: Sequence[tuple[str, float]], about: str, x_title: str = "", y_title: str = "") -> str:
    """A histogram: a named column for each bin."""
    axis = Axis(0, max(1, len(bins)), [(at + 0.5, label) for at, (label, _) in enumerate(bins)])
    frame = Frame(axis, linear(max((n for _, n in bins), default=0)), height=230)
    width = min(60.0, (frame.across(1) - frame.across(0)) * 0.84)
    total = sum(n for _, n in bins)
    inside = "".join(
        f"<g><title>{escape(label)}: {n:,.0f} ({n / max(1, total):.1%})</title>"
        f'<rect class="f0" x="{frame.across(at + 0.5) - width / 2:.1f}" y="{frame.up(n):.1f}" width="{width:.1f}" '
        f'height="{frame.up(0) - frame.up(n):.1f}" rx="2"/></g>'
        for at, (label, n) in enumerate(bins)
    )
    return frame.drawn(about, inside, x_title, y_title)


def bars(
    rows: Sequence[tuple[str, float, str]], about: str, label: int = 150, number: int = 130, full: float = 0
) -> str:
    """Horizontal bars: name, length, what stands at the bar's end; names are cut, and whole when pointed at.

    A bar of the length `full`, by default the largest, takes all the room.
    """
    width, step = 520, 26
    largest = full or max((value for _, value, _ in rows), default=0) or 1
    room = width - label - number
    most = max(8, label // 7)
    inside = ""
    for at, (name, value, text) in enumerate(rows):
        top, length = at * step + 3, max(1.5, room * value / largest)
        cut = name if len(name) <= most else name[: most - 1] + "…"
        inside += (
            f"<g><title>{escape(name)}: {escape(text)}</title>"
            f'<text class="label end" x="{label - 8}" y="{top + 14}">{escape(cut)}</text>'
            f'<rect class="f0" x="{label}" y="{top}" width="{length:.1f}" height="18" rx="3"/>'
            f'<text class="tick" x="{label + length + 7:.1f}" y="{top + 14}">{escape(text)}</text></g>'
        )
    return _picture(width, step * len(rows) + 4, about, inside)


def heat(grid: Sequence[Sequence[int]], rows: Sequence[str], about: str) -> str:
    """A heat map of 24 columns: the darker the more."""
    largest = max((value for row in grid for value in row), default=0) or 1
    wide, high, left = 19.2, 24, 44
    cells = ""
    for at, row in enumerate(grid):
        cells += f'<text class="tick end" x="{left - 7}" y="{at * high + 16}">{escape(rows[at])}</text>'
        for hour, value in enumerate(row):
            strength = 0.04 + 0.96 * value / largest if value else 0.0
            cells += (
                f'<rect class="heat" x="{left + hour * wide:.1f}" y="{at * high}" width="{wide - 1.5:.1f}" '
                f'height="{high - 2}" rx="3" fill-opacity="{strength:.3f}">'
                f"<title>{escape(rows[at])} {hour:02d}:00: {value:,}</title></rect>"
            )
    below = "".join(
        f'<text class="tick middle" x="{left + (hour + 0.5) * wide:.1f}" y="{7 * high + 14}">{hour:02d}</text>'
        for hour in range(0, 24, 3)
    )
    return _picture(520, 7 * high + 20, about, cells + below)


def _picture(width: float, height: float, about: str, inside: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(about)}">{inside}</svg>'
    )
