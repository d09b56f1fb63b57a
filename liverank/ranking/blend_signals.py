"""The blend's signals by name, and the scales that they meet its weights in."""

from __future__ import annotations

from typing import Final

import numpy as np

from liverank.ranking.protocol import Scores

OTHERS: Final = ("zero-shot", "linear", "interest")
"""Rankers beside the count ranker whose scores are signals."""
FEATURES: Final = "features"
FEATURE_PREFIX: Final = "feature:"
"""Before the name of a signal that is a feature of the candidate."""
INCOMING: Final = "incoming"
NEW: Final = "new"
SEGMENTS: Final = ("newcomers", "returning")
"""Users with weights of their own: without a history, and with one."""
LEAST_LISTS: Final = 20
"""Lists with a positive below which weights are not learned."""


def centred(scores: Scores) -> Scores:
    """Mean 0 within the list."""
    return scores - scores.mean() if len(scores) else scores


def standard(scores: Scores) -> Scores:
    """Mean 0, deviation 1 within the list; a list of equal scores is all 0."""
    moved = centred(scores)
    deviation = float(moved.std()) if len(scores) else 0.0
    return moved / np.float32(deviation) if deviation > 1e-6 else np.zeros_like(moved)
