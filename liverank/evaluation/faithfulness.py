"""Whether the events that are named for an item matter as was said: they are taken out of the history for good.

For the best items of some test requests the named events are left out together, and the whole list is scored again,
with nothing held: own scales, own means. The told change (the sum of the effects) is set beside that true one, and that
beside what as many other items of the same history change, drawn at random: an erasure test, as comprehensiveness in
ERASER (DeYoung et al., 2020), with a control.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from liverank import progress
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats
from liverank.ranking.blend import BlendRanker
from liverank.ranking.data import LabelledRequest, encode
from liverank.ranking.event_effects import ScoredList, named, without_items
from liverank.ranking.protocol import Request, ranking

SHOWN: Final = 3
"""Best items of a request that are tested."""
BINS: Final = 8


@dataclass(frozen=True)
class ChangeBin:
    """Items of which about the same change was told."""

    told: float
    """Mean."""
    changed: Interval


@dataclass(frozen=True)
class Faithfulness:
    """What was said of events, and what became of the scores without them; changes in units of the score."""

    ranker: str
    """Whose score is explained."""
    requests: int
    items: int
    """Shown items with a named event, up to `SHOWN` a request."""
    named: float
    """Mean items of the history that are named for one."""
    agreement: Interval
    """Share of the items whose score changes in the direction that was told."""
    error: Interval
    """Sum of the absolute differences of told and true change, as a share of the sum of the absolute true changes."""
    correlation: float
    """Pearson's, of told and true change; NaN where one of them never differs."""
    named_change: Interval
    """Mean absolute true change without the named; so is the next without as many others."""
    other_change: Interval
    difference: Interval
    """Of the two, paired."""
    bins: list[ChangeBin]


@dataclass(frozen=True)
class _Tested:
    user: str
    named: int
    told: float
    true: float
    others: float
    """True change without as many others."""


def find_faithfulness(
    blend: BlendRanker, requests: Sequence[LabelledRequest], most: int, left_out: int, bootstrap: Bootstrap
) -> Faithfulness | None:
    """Tests the explanations of at most `most` requests; None where no item of them has a named event to test.

    Args:
        blend: whose scores are explained.
        requests: of which some are taken, evenly spread.
        most: requests taken; 0 tests nothing.
        left_out: items of the history that are left out to find the named ones, as `serving.explain_events`.
        bootstrap: how intervals are drawn, over the users of the tested items; its seed draws the others.
    """
    known = [labelled.request for labelled in requests if len(set(labelled.request.history.item_ids)) > 1]
    if not most or not known:
        return None
    chosen = np.unique(np.linspace(0, len(known) - 1, min(most, len(known))).astype(int)).tolist()
    rng = np.random.default_rng(bootstrap.seed)
    tested: list[_Tested] = []
    asked = 0
    with progress.stage("explanations", len(chosen)) as stage:
        for at in chosen:
            found = list(_tested(blend, known[at], left_out, rng))
            tested += found
            asked += bool(found)
            stage.advance(1)
    return _summary(blend.name, asked, tested, bootstrap) if tested else None


def _tested(blend: BlendRanker, request: Request, left_out: int, rng: np.random.Generator) -> Iterator[_Tested]:
    """The best items with a named event, of a history that holds as many others."""
    scored = ScoredList(blend, encode(blend.count.catalogue, request))
    places = ranking(scored.scores)[:SHOWN].astype(np.int64)
    causes = scored.likeliest(places, left_out)
    every = [one.item_id for one in scored.causes()]
    for place, effects in zip(places.tolist(), scored.effects(places, causes).T, strict=True):
        told = named(causes, effects)
        mine = {cause.item_id for cause, _ in told}
        others = [item for item in every if item not in mine]
        # As many others also mean that something is left of the history: without any, other weights would serve.
        if not told or len(others) < len(told):
            continue
        drawn = {others[at] for at in rng.permutation(len(others))[: len(told)].tolist()}
        with_all = float(scored.scores[place])
        true, control = (with_all - _again(blend, request, items, place) for items in (mine, drawn))
        yield _Tested(request.user_id, len(told), sum(effect for _, effect in told), true, control)


def _again(blend: BlendRanker, request: Request, items: Collection[str], place: int) -> float:
    rest = replace(request, history=without_items(request.history, items))
    return float(blend.score_batch([rest])[0][place])


def _summary(ranker: str, requests: int, tested: Sequence[_Tested], bootstrap: Bootstrap) -> Faithfulness:
    told, true, others = (np.asarray([getattr(one, name) for one in tested]) for name in ("told", "true", "others"))
    drawn = replace(bootstrap, users=[one.user for one in tested])
    agrees = (np.sign(told) == np.sign(true)).astype(np.float64)
    error, *_ = drawn.ratios(np.abs(told - true)[:, None], np.abs(true)[:, None])
    change, other = np.abs(true), np.abs(others)
    agreement, mine, control, difference = drawn.intervals(np.column_stack([agrees, change, other, change - other]))
    varies = len(tested) > 1 and told.std() > 0 and true.std() > 0
    return Faithfulness(
        ranker=ranker,
        requests=requests,
        items=len(tested),
        named=float(np.mean([one.named for one in tested])),
        agreement=agreement,
        error=error,
        correlation=float(np.corrcoef(told, true)[0, 1]) if varies else float("nan"),
        named_change=mine,
        other_change=control,
        difference=difference,
        bins=_bins(told, true, drawn),
    )


def _bins(told: Floats, true: Floats, bootstrap: Bootstrap) -> list[ChangeBin]:
    """About equally many items each, by what was told."""
    parts = np.array_split(np.argsort(told, kind="stable"), min(BINS, len(told)))
    inside = np.zeros((len(told), len(parts)))
    for at, part in enumerate(parts):
        inside[part, at] = 1
    changed = bootstrap.ratios(inside * true[:, None], inside)
    return [ChangeBin(float(told[part].mean()), of) for part, of in zip(parts, changed, strict=True)]
