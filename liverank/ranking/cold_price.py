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
STEP: Final = 0.02
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
    """Raises the weight of `NEW`, for at most `price` of the expected NDCG@10 of items with training events.

    As far as new items are expected to gain more, in proportion, than the others lose, and only if those that were
    wanted did: where they are found as it is, nothing is paid. Each segment of users pays for itself, and only where
    the blend surely knows which new item is wanted: among the new items alone of `LEAST_LISTS` validation lists it must
    do better than chance. Returns the blend's NDCG@10.
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
        more, lost = _worth(telling, price)
        before, after = _ndcg(cold, 0.0), _ndcg(cold, more)
        if after * (1 - lost) > before:
            blend.weights[at, place] += np.float32(more)
            notes.append(
                f"{name}: items without training events: NDCG@10 {before:.4f} -> {after:.4f} on "
                f"{len(cold)} validation lists; others are expected to lose {lost:.1%}"
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


def _worth(lists: Sequence[_List], price: float) -> tuple[float, float]:
    """By how much new items are raised, in logits, and the share of their NDCG@10 that the others are expected to lose.

    Expected by the blend's own probabilities, which are those of a softmax that was fitted to such lists: whether the
    one positive of a list happens to stand among the ten best is mostly chance, and would decide with so few lists.
    """
    known, fresh = _Best.of(lists, fresh=False), _Best.of(lists, fresh=True)
    steps = np.arange(0, FURTHEST, STEP)
    kept = np.asarray([known.expected(fresh, more) for more in steps])
    found = np.asarray([fresh.expected(known, -more) for more in steps])
    if not (kept[0] > 0 and found.max() > 0):
        return 0.0, 0.0
    lost = 1 - kept / kept[0]
    # The product of both is highest where one per cent more of the one costs one per cent of the other.
    best = int(np.argmax(np.where(lost <= price, found * kept, -1)))
    return float(steps[best]), float(lost[best])


@dataclass(frozen=True)
class _Best:
    """The `K` best new or known items of each list, best first; -inf where there are fewer."""

    scores: Floats
    """`[lists, K]`."""
    chance: Floats
    """Of each to be what is wanted, `[lists, K]`, over the mean chance of any of its kind."""

    @classmethod
    def of(cls, lists: Sequence[_List], fresh: bool) -> _Best:
        best = np.stack([_top(one.scores[one.fresh == fresh]) for one in lists])
        highest = np.asarray([one.scores.max() for one in lists])
        parts = [np.exp(one.scores - top) for one, top in zip(lists, highest, strict=True)]
        total = np.asarray([of.sum() for of in parts])
        kind = np.asarray([of[one.fresh == fresh].sum() for of, one in zip(parts, lists, strict=True)]) / total
        chance = np.exp(best - highest[:, None]) / total[:, None] / (kind.mean() or 1.0)
        return cls(best, chance.astype(np.float32))

    def expected(self, others: _Best, more: float) -> float:
        """NDCG@10 that is to be expected where one of these is wanted, once `others` are raised by `more`."""
        ahead = (others.scores[:, None, :] + np.float32(more) > self.scores[:, :, None]).sum(-1)
        places = np.arange(K) + ahead
        gains = np.where(places < K, _DISCOUNTS[np.minimum(places, K - 1)], 0)
        return float((self.chance * gains).sum(-1).mean())


def _top(scores: Floats) -> Floats:
    found = np.full(K, -np.inf, np.float32)
    best = np.sort(scores)[::-1][:K]
    found[: len(best)] = best
    return found


def _ndcg(lists: Sequence[_List], more: float) -> float:
    moved = [(one.scores + np.float32(more) * one.fresh).astype(np.float32) for one in lists]
    return mean_ndcg(moved, [one.positive.astype(np.float32) for one in lists])
