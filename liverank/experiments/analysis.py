"""An experiment's outcomes step by step: at each look what is known of every variant against the control."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from liverank.config.experiment import CONTROL
from liverank.experiments.outcomes import Shown, Step
from liverank.experiments.ratio import ClusteredRatio
from liverank.experiments.sequences import log_evidence, p_value, radius

LOOKS = 200
"""Points of a sequence over time, evenly spaced in lists."""
LEAST_USERS = 100
"""Users of each variant before a sequence begins: it is asymptotic, and so few say nothing of their own spread."""
LEAST_ANSWERING = 20
"""Users of each variant with an outcome before it begins, likewise."""
RATIO_LEVEL = 0.01
"""Level of the check of the variants' users against their shares: an alarm stops an experiment."""
RATIO_CONCENTRATION = 1000.0
"""Makes that check find deviations of a percent or two soonest."""
FIRST_CONCENTRATION = 100.0
"""Makes the exact test of a preference find shares around 0.45 or 0.55 soonest."""


@dataclass(frozen=True, slots=True)
class Point:
    """The sequence at one look; None before it begins."""

    lists: int
    at: str
    """Time of the latest list, ISO 8601."""
    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """An estimate that has been watched: a difference to the control, or a share to one half."""

    points: Sequence[Point]
    p_value: float
    """The smallest so far; valid whenever one looks."""
    decided_after: int | None
    """Lists after which the sequence first left out the null value."""
    verdict: str
    """`better`, `worse` or `cannot be told`."""

    @property
    def last(self) -> Point:
        """The latest look."""
        return self.points[-1]


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """A variant and what it is known by."""

    name: str
    users: int
    lists: int
    mean: float
    error: float
    replaced: int
    """Lists that the control's model ranked, as the variant's own was missing."""
    lift: float | None = None
    """The difference to the control over the control's mean."""
    difference: Effect | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """Whose lines users chose in interleaved lists."""

    variant: str
    wins: int
    losses: int
    ties: int
    share: Effect
    """Share of the decided lists that the variant won, by users, against one half."""
    firsts: tuple[int, int]
    """Users whose first answer went to a line of the variant, and of the control."""
    first_p_value: float
    """Of the exact test that these are fair coins."""


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Whether users came to the variants as the shares say."""

    users: Mapping[str, int]
    shares: Mapping[str, float]
    p_value: float

    @property
    def mismatch(self) -> bool:
        """Whether something else than chance divided them."""
        return self.p_value <= RATIO_LEVEL


@dataclass
class Watch:
    """Follows one estimate from look to look."""

    alpha: float
    tightest: float
    points: list[Point] = field(default_factory=list)
    p_value: float = 1.0
    decided: tuple[int, str] | None = None

    def look(self, shown: Shown, lists: int, estimate: float, null: float, error: float | None, seen: float) -> None:
        """Takes one look; `error` is None before the sequence begins."""
        at = shown.at.isoformat()
        if error is None:
            self.points.append(Point(lists, at, estimate, None, None))
            return
        half = float(radius(error, seen, self.alpha, self.tightest))
        self.points.append(Point(lists, at, estimate, estimate - half, estimate + half))
        self.p_value = min(self.p_value, p_value(estimate - null, error, seen, self.alpha, self.tightest))
        if self.decided is None and abs(estimate - null) > half:
            self.decided = (lists, "better" if estimate > null else "worse")

    def effect(self) -> Effect:
        """What was seen."""
        after, verdict = self.decided or (None, "cannot be told")
        return Effect(self.points, self.p_value, after, verdict)


def looks(steps: Sequence[Step]) -> list[int]:
    """The steps after which to look, by their place: evenly spaced in lists, and the last."""
    at = np.cumsum([step.lists for step in steps])
    wanted = np.unique(np.linspace(0, at[-1], min(LOOKS, int(at[-1])) + 1)[1:].astype(int))
    # The last step of a number of lists: answers that came meanwhile count.
    return [int(place) - 1 for place in np.searchsorted(at, wanted, side="right")]


def compare(steps: Sequence[Step], alpha: float, tightest: float) -> list[VariantFigures]:
    """The variants of a split, the control first, each other one with its difference to the control.

    With several of them each has its part of `alpha` (Bonferroni), so that all their sequences hold together.
    """
    names = [CONTROL, *sorted({step.shown.arm.variant for step in steps} - {CONTROL, ""})]
    level = alpha / max(1, len(names) - 1)
    known = {name: ClusteredRatio() for name in names}
    watches = {name: Watch(level, tightest) for name in names[1:]}
    replaced = dict.fromkeys(names, 0)
    due, lists = set(looks(steps)), 0
    for place, step in enumerate(steps):
        name = step.shown.arm.variant
        if name in known:
            known[name].add(step.shown.user_id, step.outcome, step.lists)
            replaced[name] += step.lists * step.shown.replaced
        lists += step.lists
        if place in due:
            for other, watch in watches.items():
                _look(watch, known[CONTROL], known[other], step.shown, lists)
    return [_figures(name, known, replaced[name], watches.get(name)) for name in names]


def _look(watch: Watch, control: ClusteredRatio, variant: ClusteredRatio, shown: Shown, lists: int) -> None:
    begun = all(of.users >= LEAST_USERS and of.positive >= LEAST_ANSWERING for of in (control, variant))
    error = math.hypot(control.error, variant.error) if begun else None
    watch.look(shown, lists, variant.mean - control.mean, 0.0, error, control.lists + variant.lists)


def _figures(name: str, known: Mapping[str, ClusteredRatio], replaced: int, watch: Watch | None) -> VariantFigures:
    of, control = known[name], known[CONTROL]
    lift = of.mean / control.mean - 1 if watch is not None and control.total else None
    effect = None if watch is None else watch.effect()
    return VariantFigures(name, of.users, int(of.lists), of.mean, of.error, replaced, lift, effect)


def prefer(steps: Sequence[Step], variant: str, alpha: float, tightest: float) -> Preference:
    """Whose lines win in interleaved lists.

    A list is won by the team with more answered lines of its own. The share of the decided lists is judged with users
    as the unit. That is asymptotic; exact at any number of users is the test by each user's first answer to a team's
    line, which is a fair coin where nobody prefers either.
    """
    ratio, watch = ClusteredRatio(), Watch(alpha, tightest)
    margins: dict[int, int] = {}
    firsts: dict[str, bool] = {}
    evidence = 0.0
    due, lists = set(looks(steps)), 0
    for place, step in enumerate(steps):
        lists += step.lists
        team = _team(step)
        if team:
            before = margins.get(id(step.shown), 0)
            after = margins[id(step.shown)] = before + (1 if team == variant else -1)
            ratio.add(step.shown.user_id, (after > 0) - (before > 0), (after != 0) - (before != 0))
            firsts.setdefault(step.shown.user_id, team == variant)
        if place in due:
            begun = len(firsts) >= LEAST_USERS and ratio.lists > 0
            watch.look(step.shown, lists, ratio.mean, 0.5, ratio.error if begun else None, ratio.lists)
            wins = sum(firsts.values())
            evidence = max(evidence, log_evidence([wins, len(firsts) - wins], [0.5, 0.5], FIRST_CONCENTRATION))
    wins, decided = round(ratio.total), round(ratio.lists)
    won = sum(firsts.values())
    counts = (won, len(firsts) - won)
    return Preference(
        variant, wins, decided - wins, lists - decided, watch.effect(), counts, min(1.0, math.exp(-evidence))
    )


def _team(step: Step) -> str:
    """The variant whose line was answered; empty for a list that was shown and for a rule's line."""
    teams = step.shown.arm.teams
    return teams[step.shown.places[step.item_id]] if step.item_id and teams else ""


def check_ratio(steps: Iterable[Step], shares: Mapping[str, float]) -> RatioCheck:
    """The users of each variant, by their first list, against the shares that they should have come in.

    One sequential test (`log_evidence`), so that it may be looked at with every user.
    """
    first: dict[str, str] = {}
    counts = dict.fromkeys(shares, 0)
    evidence, due = 0.0, 1
    for step in steps:
        user, variant = step.shown.user_id, step.shown.arm.variant
        if user in first or variant not in counts:
            continue
        first[user] = variant
        counts[variant] += 1
        if len(first) >= due:
            evidence = max(evidence, _against(counts, shares))
            due = math.ceil(1.05 * len(first)) + 1
    evidence = max(evidence, _against(counts, shares))
    return RatioCheck(counts, shares, min(1.0, math.exp(-evidence)))


def _against(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    return log_evidence(list(counts.values()), list(shares.values()), RATIO_CONCENTRATION)


def moved(steps: Iterable[Step]) -> int:
    """Users with lists of more than one variant: the shares or the salt were changed on the way."""
    seen: dict[str, str] = {}
    return len({step.shown.user_id for step in steps if _other(seen, step)})


def _other(seen: dict[str, str], step: Step) -> bool:
    variant = step.shown.arm.variant
    return seen.setdefault(step.shown.user_id, variant) != variant
