"""Who is shown: exposure of items, categories and providers, popularity bias, and kinship with the user's history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from liverank.config.evaluation import EvaluationConfig
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import PADDING, Floats, Integers, Lists, RankedLists
from liverank.evaluation.metrics.exposure import gini, group_exposure, group_totals, item_exposure, lorenz
from liverank.evaluation.metrics.popularity import head_of, long_tail, popularity
from liverank.evaluation.metrics.taste import category_calibration
from liverank.ranking.data import Catalogue, LabelledRequest

NONE = "(none)"
OTHER = "(all others)"


@dataclass(frozen=True)
class GroupShare:
    """One category or provider beside the others; all shares are of the whole."""

    name: str
    items: int
    """Items of the catalogue."""
    candidates: float
    relevance: float
    """Share of the relevant candidates."""
    exposure: dict[str, float]
    """Ranker -> share of the exposure of the first k places."""
    gap: Interval
    """The primary ranker's share of exposure minus the share of relevance."""


@dataclass(frozen=True)
class GroupExposure:
    """Exposure by an attribute of items."""

    attribute: str
    """`category` or the provider attribute."""
    count: int
    """Different values among the candidates."""
    groups: list[GroupShare]
    """The most frequent candidates first; the rest under `OTHER`."""
    misplaced: dict[str, float]
    """Ranker -> half the sum of |exposure - relevance| over the groups: the share that would have to change hands."""


@dataclass(frozen=True)
class Exposure:
    """What the rankers do with the users' attention."""

    items: int
    """Different items among the candidates."""
    head_items: int
    head_events: float
    """Share of the training events that the head holds."""
    history_popularity: float
    """Mean training events of the items of the histories."""
    lorenz: dict[str, list[float]]
    """Ranker -> share of the exposure that the least shown 0, 5, ..., 100 % of the candidate items get."""
    groups: list[GroupExposure]


@dataclass(frozen=True)
class Shown:
    """What one ranker shows."""

    per_request: Mapping[str, Floats]
    """`popularity`, `long_tail`, `category_calibration`: `[requests]`."""
    items: Floats
    """Exposure of each item code."""
    groups: list[Floats]
    """Exposure by the groups of each grouping, `[requests, groups]`."""


@dataclass(frozen=True)
class Grouping:
    """Items by an attribute."""

    attribute: str
    names: tuple[str, ...]
    of: Integers
    """`[catalogue items + 1]`: group of each item; the last for items past the catalogue."""


@dataclass(frozen=True)
class Audience:
    """The test requests and their items, as exposure needs them: made once, read for each ranker."""

    lists: Lists
    catalogue: Catalogue
    histories: Sequence[Integers]
    """Rows of the known items of each history."""
    head: npt.NDArray[np.bool_]
    categories: Grouping
    """Every category by itself; empty names where no item has one."""
    groupings: list[Grouping]
    """What exposure is told by: only the most frequent values by name."""

    @cached_property
    def codes(self) -> int:
        """Item codes that the lists and the catalogue use."""
        return max(int(self.lists.items.max(initial=-1)) + 1, len(self.catalogue))

    @cached_property
    def history_popularity(self) -> Floats:
        """Mean training events of the history's items, `[requests]`; NaN without a known one."""
        events = self.catalogue.train_events
        return np.array([events[rows].mean() if len(rows) else np.nan for rows in self.histories], np.float64)

    def shown(self, ranked: RankedLists, k: int) -> Shown:
        """What a ranker shows that ranked the lists so."""
        per_request = {
            "popularity": popularity(ranked, k, self.catalogue.train_events),
            "long_tail": long_tail(ranked, k, self.head),
            "category_calibration": self._calibration(ranked, k),
        }
        groups = [group_exposure(ranked, k, by.of, len(by.names)) for by in self.groupings]
        return Shown(per_request, item_exposure(ranked, k, self.codes), groups)

    def gini(self, shown: Shown) -> float:
        """Gini coefficient of exposure over the items that are a candidate at least once."""
        return gini(shown.items[self.proposed])

    @cached_property
    def proposed(self) -> Integers:
        """Codes of the items that are a candidate at least once: what no list holds no ranker can show."""
        return np.unique(self.lists.items[self.lists.items != PADDING])

    def _calibration(self, ranked: RankedLists, k: int) -> Floats:
        names, of = self.categories.names, self.categories.of
        if not names:
            return np.full(len(self.lists), np.nan)
        return category_calibration(ranked, k, of, len(names), self.histories)


def audience_of(
    requests: Sequence[LabelledRequest],
    lists: Lists,
    catalogue: Catalogue,
    providers: Mapping[str, str],
    config: EvaluationConfig,
) -> Audience:
    """Looks up what exposure is told by; `providers` is item id -> provider, empty where there are none."""
    rows = [catalogue.rows(labelled.request.history.item_ids) for labelled in requests]
    offered = [providers.get(item_id, "") for item_id in catalogue.item_ids]
    values = {"category": catalogue.categories, config.provider_attribute: offered}
    groupings = [_frequent(name, of, lists, config.exposure_groups) for name, of in values.items() if any(of)]
    return Audience(
        lists,
        catalogue,
        [row[row >= 0] for row in rows],
        head_of(catalogue.train_events, config.head_share),
        _all_values("category", catalogue.categories),
        groupings,
    )


def _all_values(attribute: str, values: Sequence[str]) -> Grouping:
    names = tuple(sorted({value for value in values if value}))
    place = {name: at for at, name in enumerate(names)}
    return Grouping(attribute, names, np.array([*[place.get(value, -1) for value in values], -1], np.int64))


def _frequent(attribute: str, values: Sequence[str], lists: Lists, most: int) -> Grouping:
    """The values that most candidates have by name, the others as one; items without a value are a group."""
    named = [value or NONE for value in values] + [NONE]
    codes = np.minimum(lists.items[lists.items != PADDING], len(values))
    counts = np.bincount(codes, minlength=len(named))
    candidates: Counter[str] = Counter()
    for value, count in zip(named, counts.tolist(), strict=True):
        candidates[value] += count
    frequent = [name for name, count in sorted(candidates.items(), key=lambda one: (-one[1], one[0])) if count]
    names = frequent if len(frequent) <= most + 1 else [*frequent[:most], OTHER]
    place = {name: at for at, name in enumerate(names)}
    return Grouping(attribute, tuple(names), np.array([place.get(value, len(names) - 1) for value in named], np.int64))


def find_exposure(audience: Audience, shown: Mapping[str, Shown], primary: str, bootstrap: Bootstrap) -> Exposure:
    """Shares of all rankers, and how surely the primary one's differ from the shares of relevance."""
    events = audience.catalogue.train_events
    known = audience.history_popularity
    return Exposure(
        items=len(audience.proposed),
        head_items=int(audience.head.sum()),
        head_events=float(events[audience.head].sum() / max(events.sum(), 1)),
        history_popularity=float(known[~np.isnan(known)].mean()) if not np.isnan(known).all() else float("nan"),
        lorenz={name: lorenz(of.items[audience.proposed]) for name, of in shown.items()},
        groups=[
            _group_exposure(by, audience, {name: of.groups[at] for name, of in shown.items()}, primary, bootstrap)
            for at, by in enumerate(audience.groupings)
        ],
    )


def _group_exposure(
    by: Grouping, audience: Audience, exposed: Mapping[str, Floats], primary: str, bootstrap: Bootstrap
) -> GroupExposure:
    lists, count = audience.lists, len(by.names)
    as_given = RankedLists(lists.gains, lists.items, lists.ideal)
    candidates, relevant = group_totals(as_given, by.of, count)
    shares = {name: _shares(of) for name, of in exposed.items()}
    relevance, offered = _shares(relevant), _shares(candidates)
    gaps = share_gaps(exposed[primary], relevant, bootstrap)
    sizes = np.bincount(by.of[:-1], minlength=count)
    return GroupExposure(
        attribute=by.attribute,
        count=len({by.of[code] for code in np.minimum(audience.proposed, len(by.of) - 1).tolist()}),
        groups=[
            GroupShare(
                name=name,
                items=int(sizes[at]),
                candidates=float(offered[at]),
                relevance=float(relevance[at]),
                exposure={ranker: float(of[at]) for ranker, of in shares.items()},
                gap=gaps[at],
            )
            for at, name in enumerate(by.names)
        ],
        misplaced={ranker: float(np.abs(of - relevance).sum() / 2) for ranker, of in shares.items()},
    )


def _shares(totals: Floats) -> Floats:
    """`[groups]`: each group's share of the sum over all requests; NaN where there is nothing to share."""
    summed = totals.sum(axis=0)
    return summed / summed.sum() if summed.sum() else np.full(len(summed), np.nan)


def share_gaps(exposed: Floats, relevant: Floats, bootstrap: Bootstrap) -> list[Interval]:
    """Share of exposure minus share of relevance of each group, from `[requests, groups]` totals of both."""
    count = exposed.shape[1]
    whole = np.hstack([np.repeat(of.sum(axis=1, keepdims=True), count, axis=1) for of in (exposed, relevant)])
    point, drawn = bootstrap.resampled(np.hstack([exposed, relevant]), whole)
    point, drawn = point[:count] - point[count:], drawn[:, :count] - drawn[:, count:]
    return [bootstrap.around(float(point[at]), drawn[:, at], len(exposed)) for at in range(count)]


def popularity_lift(
    audience: Audience, shown: Mapping[str, Shown], primary: str, bootstrap: Bootstrap
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Ranker -> lift, and other ranker -> the primary's lift minus its, on the requests with a known history.

    Lift = mean popularity of the first k places / mean popularity of the histories - 1 (the delta GAP of Abdollahpouri
    et al., 2019, over all users): 0 where lists are as popular as what users have, 1 where they are twice as popular.
    """
    before = audience.history_popularity
    tops = np.column_stack([of.per_request["popularity"] for of in shown.values()])
    defined = ~np.isnan(before)[:, None] & ~np.isnan(tops)
    tops, base = np.where(defined, tops, 0.0), np.where(defined, before[:, None], 0.0)
    lifts = dict(zip(shown, bootstrap.ratios(tops, base), strict=True))
    mine = tops[:, list(shown).index(primary)][:, None]
    gaps = dict(zip(shown, bootstrap.ratios(mine - tops, base), strict=True))
    del gaps[primary]
    return {name: replace(of, mean=of.mean - 1, low=of.low - 1, high=of.high - 1) for name, of in lifts.items()}, gaps
