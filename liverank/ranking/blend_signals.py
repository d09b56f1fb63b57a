"""The blend's signals by name, and the scales that they meet its weights in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from liverank.ranking.catalogue import Floats
from liverank.ranking.protocol import Scores
from liverank.ranking.scales import Scales

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


def centred(scores: Scores, scales: Scales | None = None, name: str = "") -> Scores:
    """Mean 0 within the list, or less the mean that `scales` hold under `name`."""
    if not len(scores):
        return scores
    return scores - (scores.mean() if scales is None else scales.number(f"mean {name}", scores.mean))


def standard(scores: Scores, scales: Scales | None = None, name: str = "") -> Scores:
    """Mean 0, deviation 1 within the list, or by those that `scales` hold; a list of equal scores is all 0."""
    scales = Scales() if scales is None else scales
    moved = centred(scores, scales, name)
    if not len(scores):
        return moved
    deviation = float(scales.number(f"deviation {name}", partial(_deviation, moved)))
    return moved / np.float32(deviation) if deviation > 1e-6 else np.zeros_like(moved)


def _deviation(moved: Scores) -> Any:
    # Of values whose mean was taken off already: numpy's own takes it off again, in six times the time.
    return np.sqrt(np.vecdot(moved, moved) / len(moved))


PAIRED: Final = ("transitions", "text", "linear", "interest")
"""Signals whose products are signals too: what one of them says counts more, or less, where another agrees."""
_REACH: Final = 12.0
"""Logits of the interest model below its best candidate beyond which one is as unlikely as another."""
_LOGITS: Final = 4.0
"""What logits are divided by in a product, to be of the size of the others."""


def paired(names: Sequence[str]) -> list[int]:
    """Columns of the signals that are multiplied."""
    return [names.index(name) for name in PAIRED if name in names]


def product_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the products, in the order of `with_products`."""
    chosen = [names[at] for at in paired(names)]
    return tuple(f"{one} x {other}" for at, one in enumerate(chosen) for other in chosen[at:])


def with_products(
    signals: Floats, columns: Sequence[int], names: Sequence[str], scales: Scales | None = None
) -> Floats:
    """The signals, and the products of each two of some columns and of each with itself, `[candidates, all]`.

    The interest model's logits are taken from the list's best one down: that is the same in short lists and long ones.
    """
    scales = Scales() if scales is None else scales
    count, width = len(columns), signals.shape[1]
    chosen = signals[:, columns]
    for place, at in enumerate(columns):
        if names[at] == "interest" and len(chosen):
            logits = chosen[:, place]
            best = scales.number("best logit", logits.max)
            chosen[:, place] = np.maximum(logits - best, -_REACH) / _LOGITS
    result = np.empty((len(signals), width + count * (count + 1) // 2), np.float32)
    result[:, :width] = signals
    for place in range(count):
        result[:, width : width + count - place] = chosen[:, place:] * chosen[:, place, None]
        width += count - place
    return result
