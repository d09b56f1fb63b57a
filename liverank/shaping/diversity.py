"""Less of the same: what each candidate is worth beside those that are chosen already."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from liverank.shaping.listed import Floats
from liverank.shaping.rules import Diversity

LEAST_VARIANCE: Final = 1e-6
"""Below which what is left of a candidate counts as nothing: its logarithm stays a number."""


class Marginal(Protocol):
    """Candidates' worth, given what was chosen."""

    def values(self) -> Floats:
        """The worth of each as the next one, `[candidates]`."""
        ...

    def chose(self, row: int) -> None:
        """Takes note of the choice."""
        ...


class MaximalMarginalRelevance:
    """`relevance * score - (1 - relevance) * likeness` (Carbonell and Goldstein, 1998).

    Scores are in standard deviations; likeness is the largest cosine with anything chosen, at least 0, so that what has
    no vector (a row of zeros) is unlike all.
    """

    def __init__(self, scores: Floats, vectors: npt.NDArray[np.float32], relevance: float) -> None:
        self._worth = relevance * scores
        self._weight = 1 - relevance
        self._vectors = vectors
        self._likeness = np.zeros(len(scores), np.float32)

    def values(self) -> Floats:
        """The worth of each as the next one, `[candidates]`."""
        return self._worth - self._weight * self._likeness

    def chose(self, row: int) -> None:
        """Takes note of the choice."""
        np.maximum(self._likeness, self._vectors @ self._vectors[row], out=self._likeness)


class DeterminantalPointProcess:
    """`relevance * score + (1 - relevance) * log d2`: the greedy step towards the most probable list of a DPP.

    d2 is what the chosen vectors do not explain of a candidate's own (its conditional variance under the Gram matrix of
    the unit vectors), by incremental Cholesky: Chen, Zhang and Zhou, 2018, "Fast Greedy MAP Inference for Determinantal
    Point Process to Improve Recommendation Diversity". Each step is linear in the candidates. What has no
    vector is orthogonal to all, d2 = 1 for ever.
    """

    def __init__(self, scores: Floats, vectors: npt.NDArray[np.float32], relevance: float, depth: int) -> None:
        self._worth = relevance * scores
        self._weight = 1 - relevance
        self._vectors = vectors
        self._variance = np.ones(len(scores))
        self._factor = np.zeros((depth, len(scores)))
        self._chosen = 0

    def values(self) -> Floats:
        """The worth of each as the next one, `[candidates]`."""
        return self._worth + self._weight * np.log(self._variance)

    def chose(self, row: int) -> None:
        """Takes note of the choice."""
        known = self._factor[: self._chosen]
        products = (self._vectors @ self._vectors[row]).astype(np.float64)
        added = (products - known[:, row] @ known) / np.sqrt(self._variance[row])
        self._factor[self._chosen] = added
        self._variance = np.maximum(self._variance - added * added, LEAST_VARIANCE)
        self._chosen += 1


def marginal(diversity: Diversity, scores: Floats, vectors: npt.NDArray[np.float32]) -> Marginal:
    """The method that `diversity` names; `vectors` are unit vectors or 0, `[candidates, width]`."""
    if diversity.method == "dpp":
        return DeterminantalPointProcess(scores, vectors, diversity.relevance, diversity.depth)
    return MaximalMarginalRelevance(scores, vectors, diversity.relevance)
