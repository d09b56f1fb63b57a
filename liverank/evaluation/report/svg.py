"""The few shapes that the plots are made of, as SVG text: sharp at any size, no library, colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

Scale = Callable[[float], float]


def linear(low: float, high: float, left: float, right: float) -> Scale:
    """Data from `low` to `high` on pixels from `left` to `right`."""
    span = (high - low) or 1.0
    return lambda value: left + (value - low) / span * (right - left)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within `low` to `high`, about as many as asked for.

    >>> ticks(0.12, 0.93)
    [0.2, 0.4, 0.6, 0.8]
    """
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= 0.75 * raw)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text with its baseline at `y`."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bar(x: float, y: float, width: float, height: float, kind: str, title: str = "") -> str:
    """A filled rectangle; `title` shows under the pointer."""
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" rx="2" '
        f'class="{kind}">{inside}</rect>'
    )


def dot(x: float, y: float, kind: str, title: str = "") -> str:
    """A point of a plot."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="{kind}"><title>{escape(title)}</title></circle>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" class="{kind}"/>'


def area(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A filled shape with these corners."""
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{drawn}" class="{kind}"/>'


def drawing(width: float, height: float, shapes: Sequence[str], label: str) -> str:
    """The shapes as one picture that scales with the page; `label` is read out in its place."""
    inside = "\n".join(shapes)
    return (
        f'<div class="wide"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(label, quote=True)}">\n{inside}\n</svg></div>'
    )
