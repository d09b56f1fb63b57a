"""Capping and scaling with numbers that the training part taught: learned once, applied everywhere alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from liverank.features.candidate_features import Feature

Doubles = npt.NDArray[np.float64]
QUARTILES_OF_A_NORMAL = 1.349
"""Interquartile range of the standard normal distribution: robust scales then equal deviations on normal values."""


@dataclass(frozen=True)
class Scaling:
    """value -> (clip(value, low, high) - centre) / scale, counts after log1p; all `[features]` float64."""

    logarithmic: npt.NDArray[np.bool_]
    low: Doubles
    high: Doubles
    centre: Doubles
    scale: Doubles

    def apply(self, values: Doubles) -> npt.NDArray[np.float32]:
        """Raw features `[rows, features]` as rankers take them; a value that is not finite becomes the centre, 0."""
        scaled = np.array(values, np.float64)
        scaled[:, self.logarithmic] = np.log1p(np.maximum(scaled[:, self.logarithmic], 0))
        np.clip(scaled, self.low, self.high, out=scaled)
        scaled -= self.centre
        scaled /= self.scale
        return np.nan_to_num(scaled, copy=False, nan=0.0).astype(np.float32)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Its numbers by name, as a bundle keeps them."""
        return {f"scaling_{name}": getattr(self, name) for name in ("logarithmic", "low", "high", "centre", "scale")}

    @classmethod
    def of_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> Scaling:
        """What `arrays` gave."""
        logarithmic = arrays["scaling_logarithmic"].astype(bool)
        rest = {name: arrays[f"scaling_{name}"].astype(np.float64) for name in ("low", "high", "centre", "scale")}
        return cls(logarithmic=logarithmic, **rest)


def unscaled(features: Sequence[Feature]) -> Scaling:
    """No caps, centre 0, scale 1: what stands where there was nothing to learn from."""
    width = len(features)
    logarithmic = np.asarray([feature.kind == "count" for feature in features], bool)
    return Scaling(
        logarithmic, np.full(width, -np.inf), np.full(width, np.inf), np.zeros(width), np.ones(width, np.float64)
    )


def learned_scaling(
    values: Doubles, features: Sequence[Feature], how: Literal["robust", "standard"], cap_quantile: float
) -> Scaling:
    """The scaling that these raw rows teach, `[rows, features]`; flags stay as they are.

    Values beyond `cap_quantile`, and below 1 - `cap_quantile`, are cut back to it.

    A feature whose interquartile range is 0 (most counts are) takes its standard deviation, one that never changes 1.
    """
    plain = unscaled(features)
    if not len(values):
        return plain
    logged = np.array(values, np.float64)
    logged[:, plain.logarithmic] = np.log1p(np.maximum(logged[:, plain.logarithmic], 0))
    low, high = np.quantile(logged, [1 - cap_quantile, cap_quantile], axis=0)
    capped = np.clip(logged, low, high)
    deviation = capped.std(axis=0)
    centre, scale = capped.mean(axis=0), deviation
    if how == "robust":
        first, centre, third = np.quantile(capped, [0.25, 0.5, 0.75], axis=0)
        scale = np.where(third > first, (third - first) / QUARTILES_OF_A_NORMAL, deviation)
    scale = np.where(scale > 1e-9, scale, 1.0)
    flag = np.asarray([feature.kind == "flag" for feature in features], bool)
    return Scaling(
        plain.logarithmic,
        np.where(flag, -np.inf, low),
        np.where(flag, np.inf, high),
        np.where(flag, 0.0, centre),
        np.where(flag, 1.0, scale),
    )
