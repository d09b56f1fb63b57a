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
HALVINGS: Final = 12
K: Final = 10
_DISCOUNTS: Final = 1 / np.log2(np.arange(2, K + 2))


def open_to_new(
    blend: BlendRanker,
    requests: Sequence[EncodedRequest],
    signals: Sequence[Floats],
    labels: Sequence[Floats],
    price: float,
    notes: list[str],
) -> float:
    """Raises the weight of `NEW` until items with training events are expected to lose `price` of their NDCG@10.

    Each segment of users pays for itself, and only where the blend surely knows which new item is wanted: among the
    new items alone of `LEAST_LISTS` validation lists it must do better than chance. Returns the blend's NDCG@10.
    """
    place = blend.signal_names.index(NEW)
    scores = blend.combine(requests, signals)
    for at, name in enumerate(SEGMENTS):
        chosen = [i for i, request in enumerate(requests) if segment(request) == at]
        lists = [_List(scores[i], signals[i][:, place] > 0, labels[i] > 0) for i in chosen]
        telling = [one for one in lists if one.positive.any() and one.fresh.any() and not one.fresh.all()]
        cold = [one for one in telling if one.wants_new]
        if len(cold) < LEAST_LISTS or not _told_apart(cold):
            continue
        more = _affordable(telling, price)
        blend.weights[at, place] += np.float32(more)
        notes.append(
            f"{name}: items without training events: NDCG@10 {_ndcg(cold, 0.0):.4f} -> {_ndcg(cold, more):.4f} on "
            f"{len(cold)} validation lists; others are expected to lose {price:.1%}"
        )
    return mean_ndcg(blend.combine(requests, signals), labels)


@dataclass(frozen=True)
class _List:
    scores: Floats
    fresh: npt.NDArray[np.bool_]
    """Candidates with the signal `NEW`."""
    positive: npt.NDArray[np.bool_]

    @property
    def wants_new(self) -> bool:
        return bool((self.fresh & self.positive).any())


def _told_apart(cold: Sequence[_List]) -> bool:
    """Whether the new item that is wanted stands higher among the list's new ones than chance would put it."""
    labels = [one.positive[one.fresh].astype(np.float32) for one in cold]
    ordered = list_ndcg([one.scores[one.fresh] for one in cold], labels)
    return surely_positive(ordered - list_ndcg([np.zeros_like(of) for of in labels], labels))


def _affordable(lists: Sequence[_List], price: float) -> float:
    """The most that new items may be raised by, in logits, for the others to lose `price` of their expected NDCG@10.

    Expected by the blend's own probabilities, which are those of a softmax that was fitted to such lists: whether the
    one positive of a list happens to stand among the ten best is mostly chance, and would decide with so few lists.
    """
    best = _Best.of(lists)
    least = (1 - price) * best.expected(0.0)
    more, beyond = 0.0, FURTHEST
    for _ in range(HALVINGS):
        middle = (more + beyond) / 2
        more, beyond = (middle, beyond) if best.expected(middle) >= least else (more, middle)
    return more


@dataclass(frozen=True)
class _Best:
    """The `K` best of each list, those with training events and the new ones, best first; -inf where there are fewer."""

    known: Floats
    """`[lists, K]`; so are the others."""
    chance: Floats
    """Of each known one to be what is wanted, if one that is known is."""
    fresh: Floats

    @classmethod
    def of(cls, lists: Sequence[_List]) -> _Best:
        known = np.stack([_top(one.scores[~one.fresh]) for one in lists])
        total = np.asarray([np.exp(one.scores[~one.fresh] - top[0]).sum() for one, top in zip(lists, known, strict=True)])
        chance = np.exp(known - known[:, :1]) / total[:, None]
        return cls(known, chance.astype(np.float32), np.stack([_top(one.scores[one.fresh]) for one in lists]))

    def expected(self, more: float) -> float:
        """Mean NDCG@10 that is to be expected of known items, once new ones are raised by `more`."""
        ahead = (self.fresh[:, None, :] + np.float32(more) > self.known[:, :, None]).sum(-1)
        places = np.arange(K) + ahead
        gains = np.where(places < K, _DISCOUNTS[np.minimum(places, K - 1)], 0)
        return float((self.chance * gains).sum(-1).mean())


def _top(scores: Floats) -> Floats:
    found = np.full(K, -np.inf, np.float32)
    best = np.sort(scores)[::-1][:K]
    found[: len(best)] = best
    return found


def _ndcg(lists: Sequence[_List], more: float) -> float:
    moved = [one.scores + np.float32(more) * one.fresh for one in lists]
    return mean_ndcg(moved, [one.positive.astype(np.float32) for one in lists])
