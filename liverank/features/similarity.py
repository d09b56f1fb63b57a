"""Which items are alike, from the training events: by the users they share and by the sessions they share.

A pair's values come from integers alone, so that every engine gives the same ones. With r_ui = whole thousandths of
log(1 + events of user u with item i), sums over all N users of the training part:

* cosine_ij = sum r_ui r_uj / (sqrt(sum r_ui^2) sqrt(sum r_uj^2))
  (Sarwar, Karypis, Konstan, Riedl: Item-based collaborative filtering recommendation algorithms, WWW 2001);
* pearson_ij = (N sum r_ui r_uj - s_i s_j) / (sqrt(N q_i - s_i^2) sqrt(N q_j - s_j^2)), s and q the sums of r and r^2:
  the correlation of the two columns, an event that did not happen being a 0 (same source; there over common users
  only, which implicit data do not call for);
* jaccard_ij = users of both / users of either (Jaccard, 1901);
* together_ij = sessions with both / sqrt(sessions with i * sessions with j)
  (the cosine of the two columns of sessions; Linden, Smith, York: Amazon.com recommendations, 2003).

Each is multiplied by n / (n + shrinkage), n the common users or sessions: one common user proves nothing (significance
weighting: Herlocker, Konstan, Borchers, Riedl, SIGIR 1999, with a smooth factor in place of min(n, 50) / 50).
"""

from __future__ import annotations

from typing import Any

from liverank import columns as c
from liverank.config.candidates import CandidateConfig
from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.engine import F, Frame, Window
from liverank.features.snapshot import PER_UNIT

NEIGHBOUR = "neighbour"
PROFILE = "profile"
"""Working column: who had the item: a user, or a session."""
RATING = "rating"
_THOUSAND = 1000


def profiles(events: Frame, key: Any, most: int) -> Frame:
    """Distinct (profile, item_id) with `rating`, of each profile the `most` items it had last.

    Args:
        events: positive training events with user_id, item_id, micros.
        key: column expression that names the profile.
        most: items of a profile that are kept.
    """
    once = events.groupBy(key.alias(PROFILE), c.ITEM_ID).agg(
        F.count("*").cast("long").alias("events"), F.max("micros").alias("latest")
    )
    newest = Window.partitionBy(PROFILE).orderBy(F.col("latest").desc(), F.col(c.ITEM_ID))
    kept = once.withColumn("place", F.row_number().over(newest)).where(F.col("place") <= most)
    rating = F.round(F.ln(F.col("events").cast("double") + F.lit(1.0)) * F.lit(float(_THOUSAND))).cast("long")
    return kept.select(PROFILE, c.ITEM_ID, rating.alias(RATING))


def sums(rated: Frame) -> Frame:
    """item_id with `profiles`, `total` and `squares`: how many had it, and the sums of ratings and of their squares."""
    return rated.groupBy(c.ITEM_ID).agg(
        F.count("*").cast("long").alias("profiles"),
        F.sum(RATING).cast("long").alias("total"),
        F.sum(F.col(RATING) * F.col(RATING)).cast("long").alias("squares"),
    )


def pairs(rated: Frame, items: Frame) -> Frame:
    """Ordered pairs of different items with a common profile: `common`, `dot`, and the sums of both sides.

    Args:
        rated: `profiles`.
        items: `sums` of them.
    """
    left = rated.select(PROFILE, F.col(c.ITEM_ID).alias("i"), F.col(RATING).alias("ri"))
    right = rated.select(F.col(PROFILE).alias("other"), F.col(c.ITEM_ID).alias("j"), F.col(RATING).alias("rj"))
    met = left.join(right, on=(F.col(PROFILE) == F.col("other")) & (F.col("i") < F.col("j")), how="inner")
    half = met.groupBy("i", "j").agg(
        F.count("*").cast("long").alias("common"), F.sum(F.col("ri") * F.col("rj")).cast("long").alias("dot")
    )
    turned = half.select(F.col("j").alias("i"), F.col("i").alias("j"), "common", "dot")
    both = half.unionByName(turned)
    for side in ("i", "j"):
        named = items.select(F.col(c.ITEM_ID).alias(f"{side}_id"), *(F.col(n).alias(f"{side}_{n}") for n in _SUMS))
        both = both.join(named, on=F.col(side) == F.col(f"{side}_id"), how="inner")
    return both


_SUMS = ("profiles", "total", "squares")


def similarities(pair: Frame, users: int, config: CandidateConfig) -> Frame:
    """The nearest `neighbours` of each item by cosine: item_id, neighbour and the three similarities in millionths.

    Args:
        pair: `pairs` of user profiles.
        users: N, the users of the training part.
        config: shrinkage and neighbours.
    """

    def real(name: str) -> Any:
        return F.col(name).cast("double")

    def spread(side: str) -> Any:
        total = real(f"{side}_total")
        return F.sqrt(F.greatest(F.lit(float(users)) * real(f"{side}_squares") - total * total, F.lit(0.0)))

    cosine = real("dot") / (F.sqrt(real("i_squares")) * F.sqrt(real("j_squares")))
    beneath = spread("i") * spread("j")
    covariance = F.lit(float(users)) * real("dot") - real("i_total") * real("j_total")
    # An item that all users had alike has no correlation with anything.
    pearson = F.when(beneath > 0, covariance / F.when(beneath > 0, beneath).otherwise(1.0)).otherwise(0.0)
    jaccard = real("common") / (real("i_profiles") + real("j_profiles") - real("common"))
    return _nearest(pair, dict(zip(SIMILARITIES, (cosine, pearson, jaccard), strict=True)), config)


def togetherness(pair: Frame, config: CandidateConfig) -> Frame:
    """The items each item shared most sessions with: item_id, neighbour, `together` in millionths.

    Args:
        pair: `pairs` of session profiles.
        config: shrinkage and neighbours.
    """
    sides = F.sqrt(F.col("i_profiles").cast("double")) * F.sqrt(F.col("j_profiles").cast("double"))
    return _nearest(pair, {TOGETHER: F.col("common").cast("double") / sides}, config)


def _nearest(pair: Frame, measures: dict[str, Any], config: CandidateConfig) -> Frame:
    common = F.col("common").cast("double")
    trust = common / (common + F.lit(float(config.shrinkage)))
    whole = [F.round(value * trust * float(PER_UNIT)).cast("int").alias(name) for name, value in measures.items()]
    valued = pair.select(F.col("i").alias(c.ITEM_ID), F.col("j").alias(NEIGHBOUR), *whole)
    first = next(iter(measures))
    best = Window.partitionBy(c.ITEM_ID).orderBy(F.col(first).desc(), F.col(NEIGHBOUR))
    ranked = valued.withColumn("place", F.row_number().over(best)).where(F.col("place") <= config.neighbours)
    return ranked.orderBy(c.ITEM_ID, "place").select(c.ITEM_ID, NEIGHBOUR, "place", *measures)
