"""Why an item stands where it stands: what each signal of the blend added to its score; all add up to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.ranking.blend import BlendRanker
from liverank.ranking.data import encode
from liverank.ranking.protocol import Ranker, Request

NOT_AVAILABLE = "explain: not available"
MOST_REASONS = 5
DECIMALS = 6


class Contributions:
    """`[candidates, signals]`: they add up to the scores."""

    def __init__(self, signals: tuple[str, ...], values: npt.NDArray[np.float32]) -> None:
        self._signals = signals
        self._values = values

    def reasons(self, row: int) -> list[dict[str, Any]]:
        """The signals that moved a candidate most, either way; a signal that added nothing is no reason."""
        values = self._values[row]
        largest = np.argsort(-np.abs(values), kind="stable")[:MOST_REASONS]
        return [
            {"signal": self._signals[at], "contribution": round(float(values[at]), DECIMALS)}
            for at in largest
            if round(float(values[at]), DECIMALS)
        ]


def contributions(ranker: Ranker, request: Request) -> Contributions | None:
    """What each signal adds to each candidate's score; None for a ranker that is no sum of signals."""
    if not isinstance(ranker, BlendRanker):
        return None
    encoded = encode(ranker.count.catalogue, request)
    return Contributions(ranker.signal_names, ranker.contributions(encoded))
