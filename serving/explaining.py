"""Why an item stands where it stands: what each signal of the blend added to its score; all add up to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import encode
from liverank.ranking.lm.cascade import blend_of
from liverank.ranking.protocol import Ranker, Request, Scores
from serving.facts import Facts, facts_of

LM = "lm"
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


def facts_at(ranker: Ranker, request: Request) -> Callable[[int], Facts] | None:
    """What may be said of the candidate in a place of the request; None for a ranker without counts."""
    blend = blend_of(ranker)
    if blend is None:
        return None
    return partial(facts_of, blend.count, encode(blend.count.catalogue, request))


def contributions(ranker: Ranker, request: Request, scores: Scores) -> Contributions | None:
    """What each signal adds to each candidate's score; None for a ranker that is no sum of signals.

    Where a language model dealt the best their scores anew, what that changed of a score is a signal, `lm`.
    """
    blend = blend_of(ranker)
    if blend is None:
        return None
    added = blend.contributions(encode(blend.count.catalogue, request))
    if blend is ranker:
        return Contributions(blend.signal_names, added)
    moved = np.append(added, (scores - added.sum(1))[:, None], 1)
    return Contributions((*blend.signal_names, LM), moved)
