"""From scores to the list that is shown: the caller's rules, then the scores, then the cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, starmap

import numpy as np

from liverank.ranking.protocol import Scores, ranking
from liverank.shaping.rules import Rules
from serving.api import RankedItem
from serving.explaining import Contributions

DECIMALS = 6


def ranked(
    scores: Scores, item_ids: Sequence[str], rules: Rules, k: int | None, why: Contributions | None = None
) -> list[RankedItem]:
    """The shown list: pinned items first in their given order, none excluded, the rest by score, at most `k`.

    For rules that are `plain`: others take `serving.shaping`. `why` gives each line its reasons.
    """
    rows = _by_rules(ranking(scores).tolist(), item_ids, rules)[:k]
    values = np.asarray(scores, np.float64)[rows].round(DECIMALS).tolist()
    told = zip(map(item_ids.__getitem__, rows), values, count(1), strict=False)
    if why is None:
        return list(starmap(RankedItem, told))
    return [RankedItem(*line, reasons=why.reasons(row)) for line, row in zip(told, rows, strict=True)]


def _by_rules(rows: list[int], item_ids: Sequence[str], rules: Rules) -> list[int]:
    if not rules.pin and not rules.exclude:
        return rows
    excluded = set(item_ids).intersection(rules.exclude)
    pins = {pin.item_id: place for place, pin in enumerate(rules.pins)}
    pinned = sorted((row for row in rows if item_ids[row] in pins), key=lambda row: pins[item_ids[row]])
    return pinned + [row for row in rows if item_ids[row] not in pins and item_ids[row] not in excluded]
