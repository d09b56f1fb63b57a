"""What may be said of an item to a user: titles and what the user did, as the count ranker has them. Nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverank.ranking.count import CountRanker
from liverank.ranking.data import EncodedRequest

MOST_REASONS = 2
"""Events of the user that a sentence names."""
_LEAST_SHARE = 0.25
"""Of the strongest event's pull, below which another is no reason."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one shown item and one user."""

    title: str
    because: tuple[tuple[str, str], ...] = ()
    """Type of the event and title of its item, the strongest first."""
    again: bool = False
    """Whether the user had the item before."""


def facts_of(count: CountRanker, request: EncodedRequest, place: int) -> Facts:
    """The facts of the candidate in a place of the list.

    The user's events that ask for it are those from whose items most users went on to it, weighed as the count ranker
    weighs them; what only the text says is no fact about users.
    """
    catalogue, row = count.catalogue, int(request.candidates[place])
    given = request.request.candidates
    title = catalogue.titles[row] if row >= 0 else given.texts.get(given.item_ids[place], "")
    if row < 0 or not len(request.history):
        return Facts(title)
    again = bool((request.history == row).any())
    pulls = count.pulls(request, row)
    best = np.argsort(-pulls, kind="stable")
    reasons: dict[str, str] = {}
    for at in best.tolist():
        if len(reasons) == MOST_REASONS or pulls[at] <= max(0.0, _LEAST_SHARE * float(pulls[best[0]])):
            break
        name = catalogue.titles[int(request.history[at])]
        if name and name != title:
            reasons.setdefault(name, request.types[at])
    return Facts(title, tuple((kind, name) for name, kind in reasons.items()), again)


def titles(facts: Facts) -> Sequence[str]:
    """All titles that may be named."""
    return [facts.title, *(name for _, name in facts.because)]
