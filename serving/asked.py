"""A rank request that can be followed: what it makes of the caller's words, and what is recorded of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from liverank.events import Impression, ShownItem
from liverank.ranking.protocol import Candidates, Context
from serving import api
from serving.api import RankedItem, RankRequest
from serving.experiment import Arm
from serving.scoring import Answer, Job


@dataclass(frozen=True, slots=True)
class Asked:
    """A rank request that can be followed, and the job that it makes."""

    impression_id: str
    request: RankRequest
    offered: api.Offered
    at: datetime
    job: Job
    arm: Arm
    visitor: str = ""
    """The id given to a request that named no user, as its caller may use it; empty where it named one."""


def candidates_of(offered: api.Offered) -> Candidates:
    """The candidates as rankers take them."""
    scores = None if offered.scores is None else np.asarray(offered.scores, np.float32)
    return Candidates(offered.item_ids, offered.texts, scores)


def context_of(request: RankRequest, at: datetime) -> Context:
    """The context as rankers take it."""
    return Context(at.timestamp(), request.surface, _attributes(request))


def _attributes(request: RankRequest) -> dict[str, str]:
    """The context but for the caller's clock, which has its own place."""
    return {name: value for name, value in request.context.items() if name != "timestamp"}


def impression_of(
    asked: Asked,
    answer: Answer,
    lines: Sequence[RankedItem],
    degraded: Sequence[str],
    logged_items: int,
    interleaved: bool,
) -> Impression:
    """What is recorded of an answer.

    Args:
        asked: the request.
        answer: of the model; of an interleaved list the draft.
        lines: as they were shown.
        degraded: what the answer lacks.
        logged_items: of how many lines, from the top, the features' values are recorded, where the answer has some.
        interleaved: whether two models' rankings stand in the list.
    """
    request, offered = asked.request, asked.offered
    incoming = dict(zip(offered.item_ids, range(len(offered.item_ids)), strict=True))
    # Where the order is not drawn at random, each line was certain to stand where it stood; a draft's chances nobody
    # has worked out.
    certain = None if interleaved else 1.0
    shown = [
        ShownItem(
            item_id=line.item_id,
            position=line.position,
            score=line.score,
            propensity=certain if line.propensity is None else line.propensity,
            incoming_position=(row := incoming[line.item_id]) + 1,
            incoming_score=None if offered.scores is None else offered.scores[row],
        )
        for line in lines
    ]
    logged = [incoming[line.item_id] for line in lines[:logged_items]]
    return Impression(
        impression_id=asked.impression_id,
        user_id=asked.job.user_id,
        timestamp=asked.at,
        shown=shown,
        session_id=request.session_id,
        surface=request.surface,
        context=_attributes(request),
        model_version=answer.version,
        degraded=list(degraded),
        history_digest=answer.history_digest,
        feature_values=None if answer.features is None else answer.features.of(logged, offered.item_ids),
        experiment_arm=asked.arm.recorded(lines, interleaved),
    )
