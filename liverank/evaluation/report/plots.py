"""The plots of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.lists import Floats
from liverank.evaluation.report import svg

WIDTH = 880.0
ROW = 30.0
TOP = 14.0
AXIS = 34.0
CHARACTER = 7.0
"""Pixels a character of a label takes, about."""
FIGURES = 190.0
"""Pixels for the figures at the right of each row."""


@dataclass(frozen=True)
class Row:
    """One line of an interval plot."""

    label: str
    interval: Interval
    kind: str
    """Class of the point: `mine`, `other`, `good`, `bad` or `even`."""


def verdict_kind(gap: Interval) -> str:
    """`good` or `bad` where the interval lies wholly on one side of zero, else `even`."""
    if gap.low > 0:
        return "good"
    return "bad" if gap.high < 0 else "even"


def interval_plot(rows: Sequence[Row], label: str, signed: bool = False) -> str:
    """A point with its interval for each row, figures at the right; `signed` draws the zero line (a forest plot)."""
    rows = [row for row in rows if np.isfinite(row.interval.mean)]
    if not rows:
        return '<p class="quiet">Nothing to show: the metric is undefined on every request.</p>'
    left = 24 + CHARACTER * max(len(row.label) for row in rows)
    right = WIDTH - FIGURES
    low, high = _range(rows, signed)
    scale = svg.linear(low, high, left, right)
    bottom = TOP + ROW * len(rows)
    shapes = _grid(scale, low, high, bottom)
    if signed:
        shapes.append(svg.line(scale(0), TOP - 6, scale(0), bottom, "zero"))
    for place, row in enumerate(rows):
        shapes += _interval_row(row, TOP + ROW * (place + 0.5), scale, left, right, signed)
    return svg.drawing(WIDTH, bottom + AXIS, shapes, label)


def _range(rows: Sequence[Row], signed: bool) -> tuple[float, float]:
    low = min(row.interval.low for row in rows)
    high = max(row.interval.high for row in rows)
    if signed:
        low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * ((high - low) or max(abs(high), 0.1))
    return low - room, high + room


def _grid(scale: svg.Scale, low: float, high: float, bottom: float) -> list[str]:
    shapes = []
    for tick in svg.ticks(low, high, 6):
        shapes.append(svg.line(scale(tick), TOP - 6, scale(tick), bottom, "grid"))
        shapes.append(svg.text(scale(tick), bottom + 18, f"{tick:g}", "tick", "middle"))
    return shapes


def _interval_row(row: Row, y: float, scale: svg.Scale, left: float, right: float, signed: bool) -> list[str]:
    at = row.interval
    sign = "+" if signed else ""
    figures = f"{at.mean:{sign}.3f}  [{at.low:{sign}.3f}, {at.high:{sign}.3f}]"
    emphasis = "label strong" if row.kind == "mine" else "label"
    return [
        svg.text(left - 14, y + 4, row.label, emphasis, "end"),
        svg.line(scale(at.low), y, scale(at.high), y, f"whisker {row.kind}"),
        svg.line(scale(at.low), y - 4, scale(at.low), y + 4, f"whisker {row.kind}"),
        svg.line(scale(at.high), y - 4, scale(at.high), y + 4, f"whisker {row.kind}"),
        svg.dot(scale(at.mean), y, row.kind, f"{row.label}: {figures}, {at.requests} requests"),
        svg.text(right + 16, y + 4, figures, "figures"),
    ]


def distribution_plot(mine: Floats, other: Floats, names: tuple[str, str], label: str) -> str:
    """Shares of requests by their value of a 0..1 metric, two rankers side by side; 0 and 1 have bars of their own."""
    labels = ["0", *[f"{low / 10:.1f}–{(low + 1) / 10:.1f}" for low in range(10)], "1"]
    shares = [_shares(values) for values in (mine, other)]
    left, bottom, height = 52.0, 236.0, 190.0
    highest = max(float(np.max(part)) for part in shares) or 1.0
    scale = svg.linear(0, highest * 1.08, bottom, bottom - height)
    step = (WIDTH - left - 10) / len(labels)
    shapes = []
    for tick in svg.ticks(0, highest * 1.08, 4):
        shapes.append(svg.line(left, scale(tick), WIDTH - 10, scale(tick), "grid"))
        shapes.append(svg.text(left - 8, scale(tick) + 4, f"{tick:.0%}", "tick", "end"))
    for place, name in enumerate(labels):
        middle = left + step * (place + 0.5)
        shapes.append(svg.text(middle, bottom + 18, name, "tick", "middle"))
        for side, kind in enumerate(("mine", "other")):
            share = float(shares[side][place])
            top = scale(share)
            title = f"{names[side]}: {share:.1%} of requests at {name}"
            shapes.append(svg.bar(middle - 22 + 23 * side, top, 21, bottom - top, f"fill-{kind}", title))
    return svg.drawing(WIDTH, bottom + 30, [*_legend(names), *shapes], label)


def _shares(values: Floats) -> Floats:
    """`[12]`: share of values at 0, in each tenth between, at 1."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.zeros(12)
    tenths = np.clip(np.floor(values * 10).astype(int), 0, 9) + 1
    bins = np.where(values <= 0, 0, np.where(values >= 1, 11, tenths))
    return np.bincount(bins, minlength=12) / len(values)


def _legend(names: tuple[str, str]) -> list[str]:
    shapes, x = [], WIDTH - 10 - sum(len(name) * CHARACTER + 44 for name in names)
    for name, kind in zip(names, ("mine", "other"), strict=True):
        shapes += [svg.bar(x, 8, 12, 12, f"fill-{kind}"), svg.text(x + 18, 18, name, "label")]
        x += len(name) * CHARACTER + 44
    return shapes
