"""What a bundle's manifest says of its training, as figures for a run's metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def figures(training: Mapping[str, Any]) -> dict[str, float]:
    """`training` of a manifest as name -> finite number: `training/interest/events_per_second` and so on."""
    return dict(_numbers("training", training))


def curves(training: Mapping[str, Any]) -> dict[str, list[float]]:
    """Figures in the order of time: `training/interest/losses` by epoch, `training/lm/judged` by judgement."""
    trained = {"interest": training.get("interest", {}), "lm": training.get("lm", {}).get("training", {})}
    return {
        f"training/{part}/{name}": [float(value) for value in values]
        for part, of in trained.items()
        for name, values in of.items()
        if isinstance(values, list)
    }


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}/{name}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{prefix}/{name}", float(value)
