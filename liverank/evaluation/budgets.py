"""What the language model's part of the cascade is worth for the time it is given.

Costs are those of the machine that evaluates: a budget buys as many candidates as could be read in it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liverank import progress
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Lists
from liverank.evaluation.measure import RANKING
from liverank.ranking.data import LabelledRequest, encode
from liverank.ranking.lm.cascade import CascadeRanker, Costs
from liverank.ranking.protocol import Scores

MEASURED = 20
"""Requests on which costs are measured; their median counts."""


@dataclass(frozen=True)
class BudgetPoint:
    """The cascade with so much time for each request."""

    milliseconds: float
    read: int
    """Candidates that the language model reads in it."""
    mean: Interval
    gain: Interval
    """Over the blend alone; paired."""


@dataclass(frozen=True)
class Budgets:
    """Quality against time."""

    history_ms: float
    """To read a history, median."""
    candidate_ms: float
    """For each candidate."""
    points: list[BudgetPoint]


def find_budgets(
    cascade: CascadeRanker,
    requests: Sequence[LabelledRequest],
    lists: Lists,
    milliseconds: Sequence[float],
    metric: str,
    k: int,
    bootstrap: Bootstrap,
) -> Budgets:
    """Measures costs, then ranks the requests, whose lists are `lists`, within each budget."""
    costs = _measured(cascade, requests)
    reads = [costs.affordable(budget / 1000, cascade.top) for budget in milliseconds]
    depths = sorted({0, *(read if read > 1 else 0 for read in reads)})
    with progress.stage("time budgets", len(requests)) as stage:
        scores: dict[int, list[Scores]] = {depth: [] for depth in depths}
        for labelled in requests:
            request = encode(cascade.count.catalogue, labelled.request)
            blend = cascade.blend.combine([request], cascade.blend.signals([request]))[0]
            for depth, given in zip(depths, cascade.at_depths(request, blend, depths), strict=True):
                scores[depth].append(given)
            stage.advance(1)
    values = {depth: RANKING[metric](lists.ranked(given), k) for depth, given in scores.items()}
    columns = [values[read if read > 1 else 0] for read in reads]
    drawn = bootstrap.intervals(np.column_stack([*columns, *(column - values[0] for column in columns)]))
    count = len(columns)
    return Budgets(
        round(1000 * (costs.history or 0.0), 3),
        round(1000 * costs.candidate, 3),
        [
            BudgetPoint(budget, read if read > 1 else 0, drawn[at], drawn[count + at])
            for at, (budget, read) in enumerate(zip(milliseconds, reads, strict=True))
        ],
    )


def _measured(cascade: CascadeRanker, requests: Sequence[LabelledRequest]) -> Costs:
    """Median costs over some requests with a history."""
    known = [labelled for labelled in requests if len(labelled.request.history)]
    found = []
    for labelled in known[:: max(1, len(known) // MEASURED)][:MEASURED]:
        request = encode(cascade.count.catalogue, labelled.request)
        places = np.arange(min(cascade.top, len(request.candidates)))
        took = cascade.lm.cost(request, places)
        found.append((took.history, took.scoring / len(places)))
    costs = Costs()
    if found:
        history, candidate = np.median(np.asarray(found), axis=0).tolist()
        costs.start(1, history, candidate)
    return costs
