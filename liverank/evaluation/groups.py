"""Groups of users: whether the ranking serves all kinds of users alike, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from liverank.config.evaluation import EvaluationConfig
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Integers
from liverank.evaluation.slices import HISTORY_BUCKETS, bucket_name
from liverank.ranking.data import LabelledRequest

Kind = Literal["attribute", "context", "behaviour"]
ACTIVE_DAYS = 30
DAY = 86400.0
OUTSIDE = -1


@dataclass(frozen=True)
class UserGrouping:
    """A way to tell users apart."""

    name: str
    kind: Kind
    """`attribute` and `context` say who a user is, `behaviour` how much is known of one."""
    names: tuple[str, ...]
    of: Integers
    """`[requests]`: group of each request, `OUTSIDE` where that is not known or rare."""


@dataclass(frozen=True)
class GroupResult:
    """The deciding metric for one group of users."""

    name: str
    requests: int
    """Judged requests."""
    users: int
    mean: Interval
    """Of the primary ranker."""
    gain: Interval
    """Primary minus the champion, or minus the incoming order before there is one; paired."""


@dataclass(frozen=True)
class GroupGap:
    """The two groups that differ most."""

    best: str
    worst: str
    difference: Interval
    """Best minus worst; the interval allows for the pair having been picked from all pairs."""
    gain_difference: Interval
    """The same of the gains: near zero where the two differ as much without the ranker."""


@dataclass(frozen=True)
class GroupingResult:
    """One way to tell users apart, and what it tells."""

    name: str
    kind: Kind
    groups: list[GroupResult]
    left_out: int
    """Judged requests of users whose group is unknown, rare or too small."""
    gap: GroupGap | None
    """None with fewer than two groups."""


def find_groupings(
    requests: Sequence[LabelledRequest], attributes: Mapping[str, Mapping[str, str]], config: EvaluationConfig
) -> list[UserGrouping]:
    """By each user attribute, each context key in `config.user_context`, history length and activity."""
    described = [attributes.get(labelled.request.user_id, {}) for labelled in requests]
    contexts = [labelled.request.context.attributes for labelled in requests]
    lengths = np.array([len(labelled.request.history) for labelled in requests], np.int64)
    recent = np.array([_recent(labelled) for labelled in requests], np.int64)
    asked = [key for key in config.user_context if any(key in values for values in contexts)]
    return [
        *_by_key("attribute", sorted({key for values in described for key in values}), described, config),
        *_by_key("context", asked, contexts, config),
        UserGrouping("history length", "behaviour", tuple(map(bucket_name, HISTORY_BUCKETS)), _bucket(lengths)),
        _quartiles(recent),
    ]


def _by_key(
    kind: Kind, keys: Sequence[str], described: Sequence[Mapping[str, str]], config: EvaluationConfig
) -> Iterator[UserGrouping]:
    for key in keys:
        counts = Counter(values[key] for values in described if values.get(key))
        frequent = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[: config.slice_values]
        place = {name: at for at, (name, _) in enumerate(frequent)}
        of = np.array([place.get(values.get(key, ""), OUTSIDE) for values in described], np.int64)
        yield UserGrouping(key, kind, tuple(place), of)


def _bucket(lengths: Integers) -> Integers:
    starts = [low for low, _ in HISTORY_BUCKETS]
    return np.searchsorted(starts, lengths, side="right") - 1


def _recent(labelled: LabelledRequest) -> int:
    at = labelled.request.context.timestamp
    return sum(at - ACTIVE_DAYS * DAY <= time <= at for time in labelled.request.history.timestamps)


def _quartiles(counts: Integers) -> UserGrouping:
    """Quarters of the requests by how active their users were; uneven where equal counts have to stay together."""
    edges = np.unique(np.quantile(counts, [0.25, 0.5, 0.75], method="lower")) if len(counts) else np.zeros(0)
    edges = edges[edges < counts.max(initial=0)].astype(np.int64)
    of = np.searchsorted(edges, counts, side="left")
    lows = [0, *(edges + 1).tolist()]
    highs = [*edges.tolist(), int(counts.max(initial=0))]
    names = tuple(f"{low}–{high}" if low < high else f"{low}" for low, high in zip(lows, highs, strict=True))
    return UserGrouping(f"events in the last {ACTIVE_DAYS} days", "behaviour", names, of.astype(np.int64))


def measure_groupings(
    groupings: Sequence[UserGrouping], mine: Floats, other: Floats, bootstrap: Bootstrap, config: EvaluationConfig
) -> list[GroupingResult]:
    """The deciding metric by group; groups with too few judged requests or users are left out.

    Args:
        groupings: of the requests.
        mine: the primary ranker's metric, `[requests]`, NaN where not judged.
        other: the same of whom it is compared with.
        bootstrap: of the requests' users.
        config: least requests and users of a group.
    """
    found = [_measure(by, mine, other, bootstrap, config) for by in groupings]
    return [result for result in found if result.groups]


def _measure(
    by: UserGrouping, mine: Floats, other: Floats, bootstrap: Bootstrap, config: EvaluationConfig
) -> GroupingResult:
    judged = ~np.isnan(mine)
    masks = {name: judged & (by.of == at) for at, name in enumerate(by.names)}
    users = {name: len({bootstrap.users[row] for row in np.flatnonzero(mask).tolist()}) for name, mask in masks.items()}
    least = config.gate
    kept = [name for name, mask in masks.items() if mask.sum() >= least.min_requests and users[name] >= least.min_users]
    inside = np.array([masks[name] for name in kept]).reshape(len(kept), len(mine)).T.astype(np.float64)
    values = np.hstack([inside * np.where(judged, of, 0.0)[:, None] for of in (mine, mine - other)])
    point, drawn = bootstrap.resampled(values, np.hstack([inside, inside]))
    sizes = [int(masks[name].sum()) for name in kept]
    spans = [bootstrap.around(float(one), drawn[:, at], (sizes * 2)[at]) for at, one in enumerate(point)]
    groups = [
        GroupResult(name, sizes[at], users[name], spans[at], spans[at + len(kept)]) for at, name in enumerate(kept)
    ]
    return GroupingResult(
        by.name, by.kind, groups, int(judged.sum()) - sum(sizes), _gap(groups, point, drawn, bootstrap)
    )


def _gap(groups: Sequence[GroupResult], point: Floats, drawn: Floats, bootstrap: Bootstrap) -> GroupGap | None:
    count = len(groups)
    if count < 2:
        return None
    best, worst = int(np.argmax(point[:count])), int(np.argmin(point[:count]))
    requests = groups[best].requests + groups[worst].requests
    spans = [
        bootstrap.around(
            float(point[best + shift] - point[worst + shift]),
            drawn[:, best + shift] - drawn[:, worst + shift],
            requests,
            comparisons=count * (count - 1) // 2,
        )
        for shift in (0, count)
    ]
    return GroupGap(groups[best].name, groups[worst].name, spans[0], spans[1])
