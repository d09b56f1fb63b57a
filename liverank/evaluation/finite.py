"""Values as JSON can hold them."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """The same value with lists for tuples, and null for numbers that are not finite: JSON knows no NaN.

    >>> finite({"mean": float("nan"), "seeds": (0.5, float("inf"))})
    {'mean': None, 'seeds': [0.5, None]}
    """
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
