"""What the blend gives up on items with training events so that new ones are found.

The learned weight gives new items their share by probability. Among thousands of items none of them is among the ten
most probable, however well the text says which one; so their places are paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from liverank.ranking.blend_signals import LEAST_LISTS, NEW, SEGMENTS
from liverank.ranking.count import segment
from liverank.ranking.data import EncodedRequest, Floats
from liverank.ranking.listwise import list_ndcg, mean_ndcg
from liverank.ranking.significance import surely_positive

if TYPE_CHECKING:
    from liverank.ranking.blend import BlendRanker

FURTHEST: Final = 8.0
"""Most that the weight of `NEW` is raised by, in logits."""
HALVINGS: Final = 8


def open_to_new(
    blend: BlendRanker,
    requests: Sequence[EncodedRequest],
    signals: Sequence[Floats],
    labels: Sequence[Floats],
    price: float,
    notes: list[str],
) -> float:
    """Raises the weight of `NEW` as far as lists whose positives have training events lose no more than `price`.

    Each segment of users pays for itself, and only where its own lists say that it gains something: `LEAST_LISTS` that
    want new items and as many that do not, and a gain that is more than chance. Returns the blend's NDCG@10.
    """
    place = blend.signal_names.index(NEW)
    scores = blend.combine(requests, signals)
    for at, name in enumerate(SEGMENTS):
        chosen = [i for i, request in enumerate(requests) if segment(request) == at]
        cold, warm = _parted([_List(scores[i], signals[i][:, place], labels[i]) for i in chosen])
        if min(len(cold), len(warm)) < LEAST_LISTS:
            continue
        more = _affordable(warm, price)
        before, after = _ndcg(cold, 0.0), _ndcg(cold, more)
        if surely_positive(after - before):
            blend.weights[at, place] += np.float32(more)
            notes.append(
                f"{name}: items without training events: NDCG@10 {before.mean():.4f} -> {after.mean():.4f} on "
                f"{len(cold)} validation lists, for {price:.1%} on others at most"
            )
    return mean_ndcg(blend.combine(requests, signals), labels)


@dataclass(frozen=True)
class _List:
    scores: Floats
    fresh: Floats
    """The signal `NEW`, `[candidates]`."""
    labels: Floats

    @property
    def wants_new(self) -> bool:
        return bool(self.fresh[self.labels > 0].any())


def _parted(lists: Sequence[_List]) -> tuple[list[_List], list[_List]]:
    """The lists that can tell something, with a positive and a new item: those that want a new one, and the others."""
    telling = [one for one in lists if (one.labels > 0).any() and one.fresh.any()]
    return [one for one in telling if one.wants_new], [one for one in telling if not one.wants_new]


def _affordable(warm: Sequence[_List], price: float) -> float:
    """The most that new items may be raised by, in logits."""
    least = (1 - price) * _ndcg(warm, 0.0).mean()
    more, beyond = 0.0, FURTHEST
    for _ in range(HALVINGS):
        middle = (more + beyond) / 2
        more, beyond = (middle, beyond) if _ndcg(warm, middle).mean() >= least else (more, middle)
    return more


def _ndcg(lists: Sequence[_List], more: float) -> npt.NDArray[np.float64]:
    moved = [one.scores + np.float32(more) * one.fresh for one in lists]
    return list_ndcg(moved, [one.labels for one in lists])
