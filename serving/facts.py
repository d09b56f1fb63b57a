"""What may be said of an item to a user: titles, and what the user did that raises its score. Nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from liverank.ranking.count import CountRanker
from liverank.ranking.data import EncodedRequest
from serving.api import EventReason

MOST_REASONS = 2
"""Events of the user that a sentence names."""
_LEAST_SHARE = 0.25
"""Of the strongest event's effect, below which another is no reason."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one shown item and one user."""

    title: str
    because: tuple[tuple[str, str], ...] = ()
    """Type of the event and title of its item, the strongest first."""
    again: bool = False
    """Whether the user had the item before, and that speaks for it."""


def facts_of(count: CountRanker, request: EncodedRequest, place: int, events: Sequence[EventReason]) -> Facts:
    """The facts of the candidate in a place of the list, given what the user's events do to its score.

    Events that ask for it are those that raise its score; one that speaks against its own item is told of nothing.
    """
    catalogue, row = count.catalogue, int(request.candidates[place])
    given = request.request.candidates
    title = catalogue.titles[row] if row >= 0 else given.texts.get(given.item_ids[place], "")
    raising = [event for event in events if event.effect > 0 and count.type_weights.get(event.type, 1.0) > 0]
    least = _LEAST_SHARE * max((event.effect for event in raising), default=0.0)
    strong = sorted((event for event in raising if event.effect >= least), key=lambda event: -event.effect)
    again = any(event.item_id == given.item_ids[place] for event in strong)
    reasons: dict[str, str] = {}
    for event in strong:
        name = catalogue.titles[catalogue.index[event.item_id]]
        if name and name != title and len(reasons) < MOST_REASONS:
            reasons.setdefault(name, event.type)
    return Facts(title, tuple((kind, name) for name, kind in reasons.items()), again)


def titles(facts: Facts) -> Sequence[str]:
    """All titles that may be named."""
    return [facts.title, *(name for _, name in facts.because)]
