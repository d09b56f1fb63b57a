"""What each rule cost a list in expected relevance."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from liverank.shaping.arranging import Arranged, arrange
from liverank.shaping.listed import Flags, Floats, Listed, standardised
from liverank.shaping.rules import Rules

EXCLUDE, EXPLORATION = "exclude", "exploration"
STAGES = ("boost", "diversity", "pin", "caps", "new")
"""The rules after the exclusions, in the order in which their costs are told."""


def costs(listed: Listed, rules: Rules, k: int | None, excluded: Flags, shown: Arranged) -> dict[str, float]:
    """The discounted relevance that each kind of rule cost, for those that are set; they add up to the whole loss.

    An item's relevance is its score by the model in standard deviations above the request's lowest one; a list's is
    DCG = sum over its positions p of relevance / log2(1 + p). The cost of a rule is the DCG of the list under the rules
    before it (exclusions, then `STAGES`, exploration last) less that of the list with it too; together they are the DCG
    of the order by score alone less that of the list shown. A rule may gain: what an earlier one lost.
    """
    scores = standardised(listed.scores)
    relevance = scores - scores.min(initial=np.inf) if len(scores) else scores
    active = [stage for stage in STAGES if getattr(rules, stage)]
    so_far, nothing = Rules(), np.zeros(len(listed), bool)
    found = {}
    before = _dcg(relevance, arrange(listed, so_far, k, nothing).rows)
    for stage in [EXCLUDE, *active] if excluded.any() else active:
        if stage != EXCLUDE:
            so_far = msgspec.structs.replace(so_far, **{stage: getattr(rules, stage)})
        after = _dcg(relevance, arrange(listed, so_far, k, excluded).rows)
        found[stage] = before - after
        before = after
    last = _dcg(relevance, shown.rows)
    return found | ({EXPLORATION: before - last} if min(shown.propensities, default=1.0) < 1 else {})


def _dcg(relevance: Floats, rows: Sequence[int]) -> float:
    return float((relevance[list(rows)] / np.log2(np.arange(2, len(rows) + 2))).sum())
