"""Plots of lines: a value against another, for some rankers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liverank.evaluation.report import svg
from liverank.evaluation.report.plots import CHARACTER

LEFT, TOP, HEIGHT = 64.0, 34.0, 300.0
LABEL_HEIGHT = 15.0
Transform = Callable[[float], float]


def plain(value: float) -> float:
    """An even axis."""
    return value


def root(value: float) -> float:
    """An axis that spreads small values, and has a 0."""
    return math.sqrt(max(value, 0.0))


@dataclass(frozen=True)
class Series:
    """One line."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str
    """`mine` or `other`."""
    spans: Sequence[tuple[float, float]] = ()
    """Interval of each point, drawn as a whisker where there is one."""


@dataclass(frozen=True)
class Axis:
    """Where an axis has its marks; it reaches from the first to the last."""

    ticks: Sequence[tuple[float, str]]
    title: str
    transform: Transform = plain

    def scale(self, start: float, end: float) -> svg.Scale:
        """Data on pixels."""
        ends = (self.transform(self.ticks[0][0]), self.transform(self.ticks[-1][0]))
        line = svg.linear(*ends, start, end)
        return lambda value: line(self.transform(value))


def upwards(series: Sequence[Series], title: str) -> Axis:
    """A vertical axis from 0 to above every point and interval."""
    ends = [value for one in series for span in one.spans for value in span]
    top = max([*ends, *(y for one in series for _, y in one.points)])
    step = (svg.ticks(0.0, max(top, 1e-6), 5) or [0.0])[1]
    marks = [step * at for at in range(math.ceil(top / step - 1e-9) + 1)]
    return Axis([(mark, f"{mark:g}") for mark in marks], title)


def line_plot(
    series: Sequence[Series], x: Axis, y: Axis, label: str, width: float = 880.0, diagonal: bool = False
) -> str:
    """Lines named at their right ends; `diagonal` marks where y equals x."""
    right = width - 26 - CHARACTER * max(len(one.name) for one in series)
    bottom = TOP + HEIGHT
    across, up = x.scale(LEFT, right), y.scale(bottom, TOP)
    shapes = _frame(x, y, across, up, right)
    if diagonal:
        low, high = x.ticks[0][0], x.ticks[-1][0]
        shapes.append(svg.line(across(low), up(low), across(high), up(high), "zero"))
    for one in sorted(series, key=lambda one: one.kind == "mine"):
        shapes += _line(one, across, up)
    shapes += _names(series, up, right)
    return svg.drawing(width, bottom + 46, shapes, label)


def _frame(x: Axis, y: Axis, across: svg.Scale, up: svg.Scale, right: float) -> list[str]:
    bottom = TOP + HEIGHT
    shapes = [
        svg.text((LEFT + right) / 2, bottom + 38, x.title, "tick", "middle"),
        svg.text(8, 14, y.title, "tick"),
    ]
    for value, name in y.ticks:
        shapes += [
            svg.line(LEFT, up(value), right, up(value), "grid"),
            svg.text(LEFT - 8, up(value) + 4, name, "tick", "end"),
        ]
    for value, name in x.ticks:
        shapes += [
            svg.line(across(value), TOP, across(value), bottom, "grid"),
            svg.text(across(value), bottom + 18, name, "tick", "middle"),
        ]
    return shapes


def _line(one: Series, across: svg.Scale, up: svg.Scale) -> list[str]:
    places = [(across(px), up(py)) for px, py in one.points]
    shapes = [svg.path(places, one.kind)]
    for (at, _), (low, high) in zip(places, one.spans, strict=False):
        shapes.append(svg.line(at, up(low), at, up(high), f"whisker {one.kind}"))
    if one.spans:
        pairs = zip(places, one.points, strict=True)
        shapes += [svg.dot(*place, one.kind, f"{one.name}: {px:,.4g}, {py:.4g}") for place, (px, py) in pairs]
    return shapes


def _names(series: Sequence[Series], up: svg.Scale, right: float) -> list[str]:
    """Each name beside the end of its line, moved where two would overlap."""
    shapes, free = [], -math.inf
    for one in sorted(series, key=lambda one: up(one.points[-1][1])):
        at = max(up(one.points[-1][1]) + 4, free)
        shapes.append(svg.text(right + 12, at, one.name, "label strong" if one.kind == "mine" else "label"))
        free = at + LABEL_HEIGHT
    return shapes
