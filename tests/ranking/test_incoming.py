"""The proposer's scores as a signal: finite, and in the proposer's order, for every score that is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.events import LARGEST_SCORE
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.blend_signals import standard
from liverank.ranking.protocol import Candidates, Scores

MOST = 2000
"""Candidates of a long list."""


def signal(scores: list[float]) -> Scores:
    ids = [str(place) for place in range(len(scores))]
    return standard(incoming_scores(Candidates(ids, scores=np.asarray(scores, np.float32))))


@given(
    scores=st.lists(st.floats(-LARGEST_SCORE, LARGEST_SCORE) | st.sampled_from([LARGEST_SCORE, -LARGEST_SCORE])),
    again=st.integers(1, MOST),
)
def test_the_signal_of_any_scores_that_are_taken_is_finite(scores: list[float], again: int) -> None:
    found = signal((scores * again)[:MOST])
    assert np.isfinite(found).all()
    assert np.abs(found).max(initial=0) <= MOST


@pytest.mark.parametrize("largest", [LARGEST_SCORE, 3e38])
def test_the_largest_scores_keep_their_order(largest: float) -> None:
    assert signal([largest, largest, -largest]) == pytest.approx([0.5**0.5, 0.5**0.5, -(2**0.5)])
    half = signal([largest, -largest] * (MOST // 2))
    assert half == pytest.approx([1, -1] * (MOST // 2), rel=1e-5)
