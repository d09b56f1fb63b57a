"""The columns whose drift is watched, and the frames that Evidently compares.

Never ids: two samples of the same long-tailed ids always look different. Items appear as popularity deciles, categories
and text embeddings instead. What is heavy-tailed (durations) is compared on a logarithmic scale, because the normed
Wasserstein distance divides by a standard deviation that one outlier can blow up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from liverank import columns as c

DAY: Final = 86400.0
KEPT_CATEGORIES: Final = 10
"""Most frequent values of a text column that are compared by name; the others count together."""
OTHER: Final = "other"
FEW_VALUES: Final = 5
"""Numbers with at most this many values in the reference are compared as categories: a nearly constant column has next
to no standard deviation to measure a distance in."""

Group = Literal["user", "time", "list", "score", "answer"]


@dataclass(frozen=True)
class Watched:
    """One column of the request table."""

    name: str
    kind: Literal["numeric", "categorical"]
    group: Group
    """user: the history before the request; list: the candidates; answer: what was clicked."""
    logarithmic: bool = False
    least_seconds: float = 0.0
    """Seconds a window must span for the column to mean anything: an hour's traffic has one hour of the day."""


WATCHED: Final = (
    Watched("history_length", "numeric", "user"),
    Watched("idle_seconds", "numeric", "user", logarithmic=True),
    Watched("session_seconds", "numeric", "user", logarithmic=True),
    Watched(c.HOUR, "categorical", "time", least_seconds=DAY),
    Watched(c.WEEKDAY, "categorical", "time", least_seconds=7 * DAY),
    Watched(c.SURFACE, "categorical", "list"),
    Watched("n_candidates", "numeric", "list"),
    Watched("known_share", "numeric", "list"),
    Watched("top_category", "categorical", "list"),
    Watched("top_popularity_decile", "categorical", "list"),
    Watched("top_score", "numeric", "score"),
    Watched("score_spread", "numeric", "score"),
    Watched("clicked_category", "categorical", "answer"),
    Watched("clicked_popularity_decile", "categorical", "answer"),
)


@dataclass(frozen=True)
class Pair:
    """One column of both sides, ready to compare."""

    watched: Watched
    kind: Literal["numeric", "categorical"]
    """How it is compared."""
    window: pd.Series
    reference: pd.Series


@dataclass(frozen=True)
class Unfit:
    """A column that cannot be compared, and why."""

    watched: Watched
    reason: str
    alarming: bool
    """The window lacks what the reference has: a defect of the data, not a matter of the method."""


def pair(
    window: pa.Table, references: Mapping[Group, pa.Table], rows: int, rng: np.random.Generator
) -> Iterator[Pair | Unfit]:
    """Each watched column of both sides, sampled to at most `rows` values, or why it is left out.

    Args:
        window: the live requests.
        references: group -> the requests to compare its columns with; a group without one is left out.
        rows: most values of each side.
        rng: source of the samples.
    """
    span = _span(window)
    for watched in WATCHED:
        reference = references.get(watched.group)
        if reference is None:
            yield Unfit(watched, "no comparable reference yet", False)
        elif span < watched.least_seconds:
            yield Unfit(watched, f"the window spans {span:.0f} s, {watched.least_seconds:.0f} s are needed", False)
        else:
            yield _pair(watched, window, reference, rows, rng)


def _span(window: pa.Table) -> float:
    times = window[c.TIMESTAMP].cast(pa.int64()).to_numpy()
    return float(times.max() - times.min()) / 1e6 if len(times) else 0.0


def _pair(watched: Watched, window: pa.Table, reference: pa.Table, rows: int, rng: np.random.Generator) -> Pair | Unfit:
    for side, table in (("reference", reference), ("window", window)):
        if watched.name not in table.column_names:
            return Unfit(watched, f"the {side} has no such column", side == "window")
        if table[watched.name].null_count == table.num_rows:
            return Unfit(watched, f"empty in the {side}", side == "window")
    ours, theirs = (_series(watched, table, rows, rng) for table in (window, reference))
    if ours.nunique() == theirs.nunique() == 1 and ours.iloc[0] == theirs.iloc[0]:
        return Unfit(watched, "the same single value on both sides", False)
    if watched.kind == "numeric" and theirs.nunique() > FEW_VALUES:
        return Pair(watched, "numeric", ours, theirs)
    kept = list(theirs.astype(str).value_counts().index[:KEPT_CATEGORIES])
    return Pair(watched, "categorical", _named(ours, kept), _named(theirs, kept))


def _named(values: pd.Series, kept: list[str]) -> pd.Series:
    names = values.astype(str)
    return names.where(names.isin(kept), OTHER)


def _series(watched: Watched, table: pa.Table, rows: int, rng: np.random.Generator) -> pd.Series:
    values: Any = table[watched.name].drop_null().to_pandas()
    if len(values) > rows:
        values = values.iloc[np.sort(rng.choice(len(values), rows, replace=False))]
    values = values.reset_index(drop=True)
    if watched.kind == "categorical":
        return values
    return np.log1p(values.clip(lower=0)) if watched.logarithmic else values.astype(float)
