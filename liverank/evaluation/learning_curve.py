"""Learning curve: how good the rankers are on the same test requests after growing shares of the training events.

A share by time is the latest events: the log as it would be had it begun later. The earliest events would mix two
things, how much is known and how stale it is. A share by users takes all events of some users: less of the same time.
Histories and candidates of the test requests, and the validation requests the blend learns from, stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.config.evaluation import EvaluationConfig
from liverank.config.training import TrainingConfig
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Lists
from liverank.evaluation.measure import RANKING
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.data import Events, LabelledRequest, TrainingData
from liverank.ranking.fit import fit_rankers
from liverank.ranking.protocol import Ranker

By = Literal["time", "users"]


@dataclass(frozen=True)
class CurvePoint:
    """The rankers after one share of the events."""

    share: float
    events: int
    users: int
    items: int
    """Items with an event."""
    rankers: dict[str, Interval]
    to_last: Interval
    """The blend of the largest share minus this one; paired."""


@dataclass(frozen=True)
class LearningCurve:
    """Quality against events."""

    by: By
    points: list[CurvePoint]
    notes: list[str]


def find_learning_curve(
    data: TrainingData,
    training: TrainingConfig,
    requests: Sequence[LabelledRequest],
    lists: Lists,
    config: EvaluationConfig,
    bootstrap: Bootstrap,
    checkpoints: Path,
) -> LearningCurve:
    """Fits on each share of `data.events` and judges on `requests`, whose lists are `lists`.

    The ranker by features of candidates and the language model are left out: the one learns from the features folder,
    the other is trained for longer than all else; and nothing is fitted again with the validation's events, which are
    no share of these.

    Args:
        data: items, training events and validation requests.
        training: settings of the rankers, as of the model that is judged.
        requests: the test requests.
        lists: of the requests.
        config: shares, metric and cut-off.
        bootstrap: of the requests' users.
        checkpoints: a folder of its own: text embeddings are made once for all shares, training states are replaced.

    Raises:
        LanguageModelError: the language model cannot be had.
    """
    lm = training.lm.model_copy(update={"enabled": False})
    settings = training.model_copy(update={"feature_ranker": False, "lm": lm})
    checkpoints.mkdir(parents=True, exist_ok=True)
    values: list[Mapping[str, Floats]] = []
    points: list[CurvePoint] = []
    with progress.stage("learning curve", total=len(config.learning_curve_shares)) as stage:
        for share in config.learning_curve_shares:
            part = shared(data, share, config.learning_curve_by, config.seed)
            rankers: dict[str, Ranker] = fit_rankers(part, settings, checkpoints).rankers
            scores = score_rankers(rankers, requests, f"scoring after {share:.0%} of the events")
            metric = RANKING[config.gate.metric]
            values.append({name: metric(lists.ranked(given), config.k) for name, given in scores.items()})
            points.append(_point(share, part.events, values[-1], bootstrap))
            stage.advance(share=share)
    last = values[-1]["blend"]
    gaps = bootstrap.intervals(np.column_stack([last - of["blend"] for of in values]))
    notes = ["The ranker by features of candidates takes no part."] if training.feature_ranker else []
    done = [replace(point, to_last=gap) for point, gap in zip(points, gaps, strict=True)]
    return LearningCurve(config.learning_curve_by, done, notes)


def _point(share: float, events: Events, values: Mapping[str, Floats], bootstrap: Bootstrap) -> CurvePoint:
    means = dict(zip(values, bootstrap.intervals(np.column_stack(list(values.values()))), strict=True))
    users, items = len(np.unique(events.user)), len(np.unique(events.item))
    return CurvePoint(share, len(events), users, items, means, Interval(0.0, 0.0, 0.0, 0))


def shared(data: TrainingData, share: float, by: By, seed: int) -> TrainingData:
    """The data with a share of its training events, at least one; a larger share holds every event of a smaller one."""
    events = data.events.where(_latest(data.events, share) if by == "time" else _of_users(data.events, share, seed))
    counts = np.bincount(events.item, minlength=len(data.catalogue)).astype(np.int64)
    catalogue = replace(data.catalogue, train_events=counts)
    return replace(
        data, catalogue=catalogue, events=events, complete=None, data_hash=f"{data.data_hash} {by} {share} {seed}"
    )


def _latest(events: Events, share: float) -> npt.NDArray[np.bool_]:
    wanted = max(1, round(share * len(events)))
    mask = np.zeros(len(events), dtype=bool)
    mask[np.argsort(-events.timestamp, kind="stable")[:wanted]] = True
    return mask


def _of_users(events: Events, share: float, seed: int) -> npt.NDArray[np.bool_]:
    order = np.random.default_rng(seed).permutation(len(events.users))
    return np.isin(events.user, order[: max(1, round(share * len(order)))])
