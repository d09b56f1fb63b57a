"""One list out of two models' answers: the draft, and after the rules have shaped it, each line's own figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs

from liverank.experiments.interleaving import team_draft
from liverank.ranking.blend_signals import standard
from liverank.ranking.protocol import Scores, ranking
from liverank.shaping.listed import Flags
from serving.api import EventReason, RankedItem
from serving.explaining import Effects
from serving.facts import Facts
from serving.ordering import DECIMALS
from serving.scoring import Answer

_STEP = 1e-5
"""What keeps equal scores of the control in the drafted order, in standard deviations a place."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """The interleaved answer, as rules take it, and who brought which candidate."""

    answer: Answer
    """Its scores give the drafted order; its other parts are those of both answers."""
    answers: tuple[Answer, Answer]
    teams: Sequence[int | None]
    """`[candidates]`: place of the answer whose candidate it is; None for those that rules alone decide on."""

    def attributed(
        self, lines: Sequence[RankedItem], item_ids: Sequence[str], names: Sequence[str]
    ) -> list[RankedItem]:
        """The shaped lines, each with its variant and that model's score and reasons; of no variant: the control's."""
        rows = {item: row for row, item in enumerate(item_ids)}
        return [self._line(line, rows[line.item_id], names) for line in lines]

    def _line(self, line: RankedItem, row: int, names: Sequence[str]) -> RankedItem:
        team = self.teams[row]
        answer = self.answers[team or 0]
        why = answer.contributions
        return structs.replace(
            line,
            score=round(float(answer.scores[row]), DECIMALS),
            reasons=why.reasons(row) if why is not None else None,
            variant=None if team is None else names[team],
        )


def drafted(answers: tuple[Answer, Answer], settled: Flags, seed: str) -> Drafted:
    """Drafts one order from two answers to the same request.

    Candidates that rules exclude or pin are `settled`, `[candidates]`: they are no team's, and come last, so that
    neither team spends its turns on them. The draft's order takes the control's scores, the best for the first and so
    on, in standard deviations, for the rules to work on.
    """
    first, second = answers
    control = ranking(first.scores).tolist()
    free = [row for row in control if not settled[row]]
    order, sides = team_draft(free, [row for row in ranking(second.scores).tolist() if not settled[row]], seed)
    teams: list[int | None] = [None] * len(control)
    for row, side in zip(order, sides, strict=True):
        teams[row] = side
    order += [row for row in control if settled[row]]
    answer = replace(
        first,
        version=f"{first.version}+{second.version}",
        scores=_dealt(first.scores, order),
        degraded=tuple(dict.fromkeys((*first.degraded, *second.degraded))),
        timing_ms={
            name: max(of.timing_ms.get(name, 0.0) for of in answers)
            for name in dict.fromkeys((*first.timing_ms, *second.timing_ms))
        },
        contributions=None,
        features=None,
        effects=_effects(answers, teams),
    )
    return Drafted(answer, answers, teams)


def _dealt(scores: Scores, order: Sequence[int]) -> Scores:
    values = np.sort(standard(np.asarray(scores, np.float32)))[::-1]
    dealt = np.empty(len(order), np.float32)
    dealt[order] = values - _STEP * np.arange(len(order), dtype=np.float32)
    return dealt


class _Effects:
    """What the user's events do to each candidate's score by the model that brought it, as `EventEffects` tells it."""

    def __init__(self, effects: tuple[Effects, Effects], teams: Sequence[int | None]) -> None:
        self._effects, self._teams = effects, teams

    def reasons(self, places: Sequence[int], most: int) -> list[list[EventReason]]:
        """As `EventEffects.reasons`; each model leaves events out for its own candidates."""
        told: dict[int, list[EventReason]] = {}
        for team, effects in enumerate(self._effects):
            own = [place for place in places if (self._teams[place] or 0) == team]
            if own:
                told.update(zip(own, effects.reasons(own, most), strict=True))
        return [told[place] for place in places]

    def facts(self, place: int, events: Sequence[EventReason]) -> Facts:
        """As `EventEffects.facts`."""
        return self._effects[self._teams[place] or 0].facts(place, events)


def _effects(answers: tuple[Answer, Answer], teams: Sequence[int | None]) -> Effects | None:
    one, other = (answer.effects for answer in answers)
    return None if one is None or other is None else _Effects((one, other), teams)
