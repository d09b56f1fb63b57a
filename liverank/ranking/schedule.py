"""How large the steps of training are: the learning rate over time, and the size of a batch."""

from __future__ import annotations

import math

WARM_UP = 0.05
"""Share of all steps in which the learning rate rises to its peak."""
BATCHES_AN_EPOCH = 200
"""Batches of an epoch, where their size is not given: small sets need small batches, large ones can do with large."""
BATCH_STEPS = (512, 4096)


def batch_size(steps: int) -> int:
    """Steps of users in a batch, where their number is not given, for so many in an epoch."""
    least, most = BATCH_STEPS
    return min(max(steps // BATCHES_AN_EPOCH, least), most)


def learning_rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: warm-up to 1, then a half cosine to 0."""
    warm = max(1, int(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
