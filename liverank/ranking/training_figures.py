"""What a bundle's manifest says of its training, as figures for a run's metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def figures(training: Mapping[str, Any]) -> dict[str, float]:
    """`training` of a manifest as name -> finite number: `training/interest/events_per_second` and so on."""
    return dict(_numbers("training", training))


def curves(training: Mapping[str, Any]) -> dict[str, list[float]]:
    """Figures of each epoch, the first first: `training/interest/losses`, `training/interest/ndcgs`."""
    interest = training.get("interest", {})
    lists = {name: values for name, values in interest.items() if isinstance(values, list)}
    return {f"training/interest/{name}": [float(value) for value in values] for name, values in lists.items()}


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}/{name}", float(value)
