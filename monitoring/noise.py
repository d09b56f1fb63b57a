"""How far two samples of the *same* traffic lie apart, by their sizes alone.

Distances are never zero: a window of 100 requests lies at a normed Wasserstein distance of about 0.1 from a reference
it was drawn from. A column counts as drifted only where its distance exceeds the configured threshold by more than
that, so that a small window does not cry wolf.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from monitoring.columns import Pair

RESAMPLES: Final = 20


def sampling_distance(pair: Pair, rng: np.random.Generator) -> float:
    """Mean distance between two samples from the reference, of the sizes of the two sides.

    The same distances as Evidently's: Wasserstein over the standard deviation, and the Jensen-Shannon distance in nats.
    """
    numeric = pair.kind == "numeric"
    values = pair.reference.to_numpy() if numeric else pd.factorize(pair.reference)[0]
    distance = _wasserstein if numeric else _jensen_shannon
    sizes = len(pair.window), len(pair.reference)
    drawn = [[values[rng.integers(len(values), size=size)] for size in sizes] for _ in range(RESAMPLES)]
    return float(np.mean([distance(window, reference) for window, reference in drawn]))


def _wasserstein(window: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    return float(wasserstein_distance(window, reference) / max(np.std(reference), 0.001))


def _jensen_shannon(window: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> float:
    kinds = int(max(window.max(), reference.max())) + 1
    shares = [np.bincount(side, minlength=kinds) / len(side) for side in (window, reference)]
    return float(jensenshannon(*shares))
