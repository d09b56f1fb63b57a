"""A rank request that can be followed: what it makes of the caller's words, and what is recorded of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from liverank.events import Impression
from liverank.ranking.protocol import Candidates, Context
from liverank.shown import attributes, shown_items
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
    return Context(at.timestamp(), request.surface, attributes(request.context))


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
    shown = shown_items(lines, offered.item_ids, offered.scores, certain=not interleaved)
    values = None
    if answer.features is not None:
        logged = [offered.item_ids.index(line.item_id) for line in lines[:logged_items]]
        values = answer.features.of(logged, offered.item_ids)
    return Impression(
        impression_id=asked.impression_id,
        user_id=asked.job.user_id,
        timestamp=asked.at,
        shown=shown,
        session_id=request.session_id,
        surface=request.surface,
        context=attributes(request.context),
        model_version=answer.version,
        degraded=list(degraded),
        history_digest=answer.history_digest,
        feature_values=values,
        experiment_arm=asked.arm.recorded(lines, interleaved),
    )
