"""What live traffic is, for demos and tests: requests that ask for a ranking and users who answer it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from liverank.events import Interaction


@dataclass(frozen=True)
class LiveRequest:
    """One request as a front end would send it; `candidates` are in the proposer's order."""

    user_id: str
    candidates: list[str]
    timestamp: datetime
    surface: str
    session_id: str
    context: dict[str, str] = field(default_factory=dict)


class World(Protocol):
    """Users who ask for rankings and answer them; the same seed asks the same."""

    def requests(self, count: int) -> Iterator[LiveRequest]:
        """The next `count` requests in time order (fewer where the world ends).

        Answer each with `react` before taking the next: what a user wants depends on what that user did before.
        """
        ...

    def react(self, request: LiveRequest, ranked_item_ids: Sequence[str], impression_id: str) -> list[Interaction]:
        """What the user does with the ranked list, in time order; the same impression gives the same event ids."""
        ...

    def drift(self) -> None:
        """From now on users want other things: a model trained before ranks clearly worse."""
        ...


def event_id(impression_id: str, number: int) -> str:
    """The id of an impression's event by its number: the same when the answer is sent again."""
    return f"{impression_id}-{number:03d}"[-256:]
