"""Why an item stands where it stands: what each signal of the blend added to its score, and what the user's events do.

Signals are a sum: all of them add up to the score. Events are found by leaving them out (`event_effects`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from liverank.ranking.blend import BlendRanker
from liverank.ranking.data import encode
from liverank.ranking.event_effects import Cause, ScoredList, named
from liverank.ranking.lm.cascade import blend_of
from liverank.ranking.protocol import Ranker, Request, Scores
from serving.api import EventReason, SignalReason
from serving.facts import Facts, facts_of

LM = "lm"
NOT_AVAILABLE = "explain: not available"
MOST_REASONS = 5
DECIMALS = 6


class Contributions:
    """`[candidates, signals]`: they add up to the scores."""

    def __init__(self, signals: tuple[str, ...], values: npt.NDArray[np.float32]) -> None:
        self._signals = signals
        self._values = values

    def reasons(self, row: int) -> list[SignalReason]:
        """The signals that moved a candidate most, either way; a signal that added nothing is no reason."""
        values = self._values[row]
        largest = np.argsort(-np.abs(values), kind="stable")[:MOST_REASONS]
        return [
            SignalReason(self._signals[at], round(float(values[at]), DECIMALS))
            for at in largest
            if round(float(values[at]), DECIMALS)
        ]


class Effects(Protocol):
    """What the user's events do to the candidates in some places of a request's list."""

    def reasons(self, places: Sequence[int], most: int) -> list[list[EventReason]]:
        """The events that moved each of them most, from at most `most` items left out."""
        ...

    def facts(self, place: int, events: Sequence[EventReason]) -> Facts:
        """What may be said of the candidate in a place, whose events these are."""
        ...


class EventEffects:
    """What the user's events do to candidates of one request; asked once the shown list is known."""

    def __init__(self, scored: ScoredList, score: Literal["served", "blend"]) -> None:
        self._scored = scored
        self._score = score

    def reasons(self, places: Sequence[int], most: int) -> list[list[EventReason]]:
        """The events that moved each of the candidates in some places most, from at most `most` items left out."""
        shown = np.asarray(places, np.int64)
        causes = self._scored.likeliest(shown, most)
        effects = self._scored.effects(shown, causes)
        return [self._told(named(causes, effects[:, at])) for at in range(len(shown))]

    def facts(self, place: int, events: Sequence[EventReason]) -> Facts:
        """What may be said of the candidate in a place, whose events these are."""
        return facts_of(self._scored.blend.count, self._scored.request, place, events)

    def _told(self, causes: Sequence[tuple[Cause, float]]) -> list[EventReason]:
        return [
            EventReason(
                cause.item_id,
                cause.type,
                datetime.fromtimestamp(cause.timestamp, UTC),
                round(effect, DECIMALS),
                cause.events,
                self._score,
            )
            for cause, effect in causes
        ]


def scored_lists(blend: BlendRanker, requests: Sequence[Request], wanted: Sequence[bool]) -> list[Scores | ScoredList]:
    """Scores of each request, as a list that can be scored again without some events where that is wanted."""
    told = [request for request, want in zip(requests, wanted, strict=True) if not want]
    plain = iter(blend.score_batch(told) if told else ())
    catalogue = blend.count.catalogue
    return [
        ScoredList(blend, encode(catalogue, request)) if want else next(plain)
        for request, want in zip(requests, wanted, strict=True)
    ]


def scored_by_blend(ranker: Ranker, request: Request) -> ScoredList | None:
    """The blend's scores of a request, to be explained; None for a ranker that does not begin with a blend."""
    blend = blend_of(ranker)
    return None if blend is None else ScoredList(blend, encode(blend.count.catalogue, request))


def contributions(scored: ScoredList, scores: Scores) -> Contributions:
    """What each signal adds to each candidate's score.

    Where a language model dealt the best their scores anew (`scores`), what that changed of a score is a signal, `lm`.
    """
    blend = scored.blend
    added = blend.contributions(scored.request, scored.signals)
    if scores is scored.scores:
        return Contributions(blend.signal_names, added)
    moved = np.append(added, (scores - added.sum(1))[:, None], 1)
    return Contributions((*blend.signal_names, LM), moved)
