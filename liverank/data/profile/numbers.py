"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Final

_DURATIONS: Final = (("y", 365 * 86_400), ("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def count(value: float | None) -> str:
    """1,234 in full."""
    return "–" if value is None else f"{value:,.0f}"


def short(value: float) -> str:
    """950, 1.2k, 3.4M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 or scaled == int(scaled) else f"{scaled:.1f}{unit}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.2g}"


def share(part: float, whole: float) -> str:
    """A share in per cent, with as many digits as tell it from 0 and from 100 %."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1 or 99.9 < percent < 100:
        return f"{percent:.2g} %" if percent < 0.1 else f"{percent:.2f} %"
    return f"{percent:.1f} %"


def duration(seconds: float | None) -> str:
    """45 s, 12 min, 3.5 h, 2 d."""
    if seconds is None:
        return "–"
    for unit, size in _DURATIONS:
        if seconds >= size * (3 if unit == "y" else 1):
            value = seconds / size
            return f"{value:.1f}".removesuffix(".0") + f" {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds else "0 s"


def exact(seconds: int) -> str:
    """Whole seconds in full.

    >>> exact(41_400), exact(86_400), exact(90_061)
    ('11 h 30 min', '1 d', '1 d 1 h 1 min 1 s')
    """
    parts = []
    for unit, size in _DURATIONS[1:]:
        many, seconds = divmod(seconds, size)
        parts += [f"{many:,} {unit}"] if many else []
    return " ".join(parts) or "0 s"


def many(number: float, one: str, several: str) -> str:
    """A count with its words in the singular or the plural: 1 user looks, 2 users look."""
    return f"{count(number)} {one if number == 1 else several}"


def ticks(largest: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to at least `largest`."""
    if largest <= 0:
        return [0.0, 1.0]
    rough = largest / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999999)
    return [step * at for at in range(math.ceil(largest / step - 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten from at most `low` to at least `high`, both positive."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**at for at in range(first, max(last, first + 1) + 1)]
