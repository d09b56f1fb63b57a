"""What an impression keeps of a list that was asked for and answered, whoever writes it down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from liverank.errors import DataError
from liverank.events import ShownItem

TIMESTAMP: Final = "timestamp"
"""The key of a request's context with the caller's clock, which has a place of its own in an impression."""


class RankedLine(Protocol):
    """One line of an answer."""

    @property
    def item_id(self) -> str:
        """Which item."""

    @property
    def position(self) -> int:
        """Where it stood, from 1."""

    @property
    def score(self) -> float | None:
        """By the model."""

    @property
    def propensity(self) -> float | None:
        """The chance that it stood there; None where the answer does not say."""


def attributes(context: Mapping[str, str]) -> dict[str, str]:
    """The context but for the caller's clock."""
    return {name: value for name, value in context.items() if name != TIMESTAMP}


def shown_items(
    lines: Iterable[RankedLine], item_ids: Sequence[str], scores: Sequence[float | None] | None, certain: bool
) -> list[ShownItem]:
    """The lines as they were shown, each with its place and its score among the candidates.

    Args:
        lines: of the answer.
        item_ids: the candidates in the order that came in, [candidates].
        scores: what came in with them, [candidates]; None for none.
        certain: whether a line without a propensity was certain to stand where it stood. It was where the order is not
            drawn at random; of an interleaved list nobody has worked the chances out.

    Raises:
        DataError: a line is no candidate.
    """
    places = {item: place for place, item in enumerate(item_ids)}
    alone = 1.0 if certain else None
    shown = []
    for line in lines:
        place = places.get(line.item_id)
        if place is None:
            raise DataError(f"The response shows '{line.item_id}', which is no candidate of the request.")
        shown.append(
            ShownItem(
                item_id=line.item_id,
                position=line.position,
                score=line.score,
                propensity=alone if line.propensity is None else line.propensity,
                incoming_position=place + 1,
                incoming_score=None if scores is None else scores[place],
            )
        )
    return shown
