"""Which features a candidate has: their names, in order, and how each is scaled.

Two implementations give their values: frames over the log (`candidates`) and NumPy over what a request brings
(`online`). For a request at time t on UTC day d, with the history H of the user's latest events before t (those that
had arrived by then) and a candidate i:

* `popularity_Wd`, `shown_Wd`, `ctr_Wd`, `conversion_Wd`: what the W whole days before d say of i, as `popularity`
  defines them. An item that the catalogue lacks has no counts of its own.
* `age_days`, `age_known`: days since the item became available, or else since its first training event; 0 and 0
  where neither is known or lies before t.
* `repeats`, `recency`: events of H with i, and 1 / (1 + days since the latest); 0 where there is none.
* `category_share`, `price_share`: share of H's events with a known category (price) that have the candidate's category
  (price band); 0 where nothing is known. `price_known`: 1 where the item has a price.
* `hour_affinity`: log of how much likelier events of the candidate's category are in this hour of the day than events
  at large, on the training part; 0 where the category is unknown.
* `together_*`: how often i and an event's item shared a session; `cosine_*`, `pearson_*`, `jaccard_*`: how alike their
  users are (`similarity`). Over the events j of H's latest `last_steps` steps (a step: events of one instant):
  max, mean, and for `together` the sum of decay ** steps back. A pair that is not among j's neighbours counts 0.
* `incoming_place`, `incoming_score`, `incoming_score_known`: the proposer's order (from 0) and score; 0 without.
* the request itself, equal for all candidates: `hour_sin/cos`, `weekday_sin/cos`, `history_length`, and columns for the
  most frequent surfaces and devices. A linear ranker has no use for them; others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from liverank import columns as c

SIMILARITIES: Final = ("cosine", "pearson", "jaccard")
TOGETHER: Final = "together"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column."""

    name: str
    kind: Literal["count", "number", "flag"] = "number"
    """A count is log1p-scaled first; a flag is left as it is."""
    varies: bool = True
    """Whether the candidates of one request can differ in it."""


def item_features(days: Sequence[int]) -> list[Feature]:
    """What the trailing windows say of an item; window by window."""
    return [
        feature
        for width in days
        for feature in (
            Feature(c.popularity(width), "count"),
            Feature(c.shown_times(width), "count"),
            Feature(c.ctr(width)),
            Feature(c.conversion(width)),
        )
    ]


def candidate_features(days: Sequence[int], surfaces: Sequence[str], devices: Sequence[str]) -> tuple[Feature, ...]:
    """All features in order: the columns of `candidates.parquet` and of the online rows."""
    pairs = [f"{TOGETHER}_max", f"{TOGETHER}_mean", f"{TOGETHER}_decayed"]
    pairs += [f"{name}_{how}" for name in SIMILARITIES for how in ("max", "mean")]
    request = ["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"]
    flags = [f"surface_is_{name}" for name in surfaces] + [f"device_is_{name}" for name in devices]
    return (
        *item_features(days),
        Feature("age_days", "count"),
        Feature("age_known", "flag"),
        Feature("repeats", "count"),
        Feature("recency"),
        Feature("category_share"),
        Feature("price_share"),
        Feature("price_known", "flag"),
        Feature("hour_affinity"),
        *(Feature(name) for name in pairs),
        Feature("incoming_place", "count"),
        Feature("incoming_score"),
        Feature("incoming_score_known", "flag"),
        *(Feature(name, varies=False) for name in request),
        Feature("history_length", "count", varies=False),
        *(Feature(name, "flag", varies=False) for name in flags),
    )
