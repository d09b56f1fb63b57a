"""Whether a ranking depends on the order its candidates came in, which it must not.

Where the proposer gave no scores its order is a signal by design (`liverank.ranking.baselines.incoming_scores`). The
shuffled lists therefore carry that signal as scores: what still changes is a fault of the ranker, or rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from liverank.evaluation.scoring import score_rankers
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Ranker, Scores, ranking

Order = npt.NDArray[np.intp]


@dataclass(frozen=True)
class OrderSensitivity:
    """One ranker on shuffled candidates."""

    ranker: str
    requests: int
    shuffles: int
    """Of each request."""
    changed: float
    """Share of the shuffled requests that rank items in another order, but for items of exactly equal score."""
    largest_difference: float
    """Largest change of a score."""
    order_is_signal: float
    """Share of the requests without scores of the proposer: there its order counts as its scores."""
    changed_without_signal: float
    """`changed` where that order is lost as well: by design not 0 for a ranker that heeds the proposer."""


def find_order_sensitivity(
    rankers: Mapping[str, Ranker],
    requests: Sequence[LabelledRequest],
    scores: Mapping[str, Sequence[Scores]],
    shuffles: int,
    most: int,
    seed: int,
) -> list[OrderSensitivity]:
    """Scores requests again with their candidates shuffled.

    Args:
        rankers: whom to test.
        requests: of which at most `most` are taken, evenly spread.
        scores: of each ranker on all requests.
        shuffles: of each request; 0 tests nothing.
        most: requests taken.
        seed: of the shuffles.
    """
    if not shuffles or not requests:
        return []
    chosen = np.unique(np.linspace(0, len(requests) - 1, min(most, len(requests))).astype(int)).tolist()
    rng = np.random.default_rng(seed)
    again = [_Again(at, requests[at], rng.permutation(len(requests[at].labels))) for at in chosen * shuffles]
    unsaid = [one for one in again if one.request.request.candidates.scores is None]
    kept = score_rankers(rankers, [one.shuffled(True) for one in again], "shuffled candidates")
    lost = score_rankers(rankers, [one.shuffled(False) for one in unsaid], "shuffled candidates without their order")
    results = []
    for name in rankers:
        found = [one.against(scores[name][one.at], given) for one, given in zip(again, kept[name], strict=True)]
        freed = [one.against(scores[name][one.at], given)[0] for one, given in zip(unsaid, lost[name], strict=True)]
        scored = [
            pair[0] for one, pair in zip(again, found, strict=True) if one.request.request.candidates.scores is not None
        ]
        results.append(
            OrderSensitivity(
                ranker=name,
                requests=len(chosen),
                shuffles=shuffles,
                changed=float(np.mean([moved for moved, _ in found])),
                largest_difference=max(difference for _, difference in found),
                order_is_signal=len(unsaid) / len(again),
                changed_without_signal=float(np.mean([*freed, *scored])),
            )
        )
    return results


@dataclass(frozen=True, eq=False)
class _Again:
    """A request that is scored again: candidate `order[i]` comes in at place i."""

    at: int
    request: LabelledRequest
    order: Order

    def shuffled(self, keep_signal: bool) -> LabelledRequest:
        return shuffled(self.request, self.order, keep_signal)

    def against(self, first: Scores, again: Scores) -> tuple[bool, float]:
        """Whether the ranking changed, and the largest change of a score."""
        back = np.empty_like(again)
        back[self.order] = again
        return changed(first, back, self.order), float(np.abs(first - back).max(initial=0.0))


def shuffled(labelled: LabelledRequest, order: Order, keep_signal: bool) -> LabelledRequest:
    """The request with candidate `order[i]` in place i; `keep_signal` gives an unscored list its order as scores."""
    candidates = labelled.request.candidates
    given = incoming_scores(candidates) if keep_signal else candidates.scores
    moved = Candidates(
        [candidates.item_ids[at] for at in order], candidates.texts, None if given is None else given[order]
    )
    return replace(labelled, request=replace(labelled.request, candidates=moved), labels=labelled.labels[order])


def changed(first: Scores, again: Scores, order: Order) -> bool:
    """Whether the ranking by item differs, but for items that `first` scores exactly alike.

    Both are `[candidates]` in the order that came in first; `order` is how the candidates came in the second time, and
    decides between equal scores of `again`.
    """
    later = order[ranking(again[order])]
    return not np.array_equal(first[later], first[ranking(first)])
