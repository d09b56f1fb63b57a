"""Why a feature's value differs between serving and training, as far as the log tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.live_frames import MEANWHILE_SECONDS
from liverank.features.popularity import trailing_columns
from liverank.features.snapshot import Settings

if TYPE_CHECKING:
    from liverank.events import Impression
    from liverank.features.live_frames import Expected, Line

HISTORY: Final = "another history"
COUNTS: Final = "counts of past days"
LAGGING: Final = "degraded: the counts of past days lagged behind the live store"
ERASED: Final = "users erased since, whose events the log no longer holds"
ITEM: Final = "item changed since, or while the list was ranked"
EXCUSED: Final = frozenset({ERASED, ITEM})
"""Causes that are no fault of serving: it knew what the log no longer says, or not yet what it says now."""
UNKNOWN: Final = "unknown: not the history, the counts or a change in the log; the server's snapshot, catalogue or code"

_SHARES: Final = frozenset({"category_share", "price_share"})
_OF_ITEM: Final = _SHARES | {"age_days", "age_known", "price_known", "hour_affinity"}
_OF_HISTORY: Final = _SHARES | {"repeats", "recency", "history_length"}
_OF_PAIRS: Final = tuple(f"{name}_" for name in (TOGETHER, *SIMILARITIES))


class Causes:
    """The causes for some impressions of one model version."""

    def __init__(
        self,
        impressions: Sequence[Impression],
        lines: Sequence[Line],
        used: npt.NDArray[np.float64],
        expected: Expected,
        settings: Settings,
        histories: Mapping[str, str],
        erased: int,
    ) -> None:
        """Takes what the log tells.

        Args:
            impressions: the compared ones.
            lines: their compared items.
            used: the logged values, `[lines, features]`.
            expected: what they were compared with.
            settings: the model version's.
            histories: impression id -> why its history differs.
            erased: records that the log lost to erasures since the counted days began, at most.
        """
        self._impressions, self._lines, self._used, self._expected = impressions, lines, used, expected
        self._trailing = frozenset(trailing_columns(settings.days))
        self._strength, self._histories, self._erased = settings.rate_strength, histories, erased

    def of(self, place: int, feature: str) -> str:
        """The likely cause of a difference that is certain, of the line at this place."""
        line = self._lines[place]
        impression, had = self._impressions[line.row], self._expected.histories[line.row]
        if feature in self._trailing:
            return self._of_counts(impression, place, feature)
        history = self._histories.get(impression.impression_id)
        if history and (feature in _OF_HISTORY or feature.startswith(_OF_PAIRS)):
            return f"{HISTORY}: {history}"
        involved = ({line.item_id} if feature in _OF_ITEM else set()) | (had if feature in _SHARES else set())
        return ITEM if self._changed(involved, line.row) else UNKNOWN

    def _of_counts(self, impression: Impression, place: int, feature: str) -> str:
        if any(reason.startswith("features:") for reason in impression.degraded):
            return LAGGING
        return ERASED if self._erased and self._may_be_erased(place, feature) else COUNTS

    def _may_be_erased(self, place: int, feature: str) -> bool:
        """Whether so many records more could have made the used value of the expected one.

        Each adds at most one to a count. A rate (k + s r) / (n + s) then moves by (1 + rate) / (n + s) a record at
        most; as much again is left for what the records move the rate of all items, r.
        """
        names = self._expected.names
        used, expected = (float(values[place, names.index(feature)]) for values in (self._used, self._expected.values))
        kind, _, width = feature.rpartition("_")
        if kind in ("popularity", "shown"):
            return 0 < used - expected <= self._erased
        shown = float(self._expected.values[place, names.index(f"shown_{width}")])
        return abs(used - expected) <= 2 * self._erased * (1 + expected) / (shown + self._strength)

    def _changed(self, items: Iterable[str], row: int) -> bool:
        """Whether a record of one of them came into the log after the impression's ranking may have looked."""
        before = self._expected.heard[row] - MEANWHILE_SECONDS
        return any(self._expected.new_items.get(item, before) > before for item in items)
