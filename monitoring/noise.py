"""How far two samples of the *same* traffic lie apart, by their sizes alone.

Distances are never zero: a window of 100 requests lies at a normed Wasserstein distance of about 0.1 from a reference
it was drawn from. A column counts as drifted only where its distance exceeds the configured threshold by more than
that, so that a small window does not cry wolf.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from monitoring.columns import Pair

RESAMPLES: Final = 20


def sampling_distance(pair: Pair, rng: np.random.Generator) -> float:
    """Mean distance between two samples from the reference, of the sizes of the two sides."""
    values = pair.reference.to_numpy()
    sizes = len(pair.window), len(pair.reference)
    drawn = [[values[rng.integers(len(values), size=size)] for size in sizes] for _ in range(RESAMPLES)]
    return float(np.mean([distance(pair.kind, window, reference) for window, reference in drawn]))


def distance(kind: str, window: npt.NDArray[Any], reference: npt.NDArray[Any]) -> float:
    """Evidently's distance of a column: Wasserstein over the standard deviation for numbers, else Jensen-Shannon."""
    if kind == "numeric":
        return float(wasserstein_distance(window, reference) / max(np.std(reference), 0.001))
    codes, names = pd.factorize(np.concatenate([window, reference]))
    sides = codes[: len(window)], codes[len(window) :]
    shares = [np.bincount(side, minlength=len(names)) / len(side) for side in sides]
    return float(jensenshannon(*shares))
