"""Why a feature's value differs between serving and training, as far as the log tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.live_frames import MEANWHILE_SECONDS
from liverank.features.popularity import trailing_columns

if TYPE_CHECKING:
    from liverank.events import Impression
    from liverank.features.live_frames import Expected, Line

HISTORY: Final = "another history"
COUNTS: Final = "counts of past days"
LAGGING: Final = "degraded: the counts of past days lagged behind the live store"
ERASED: Final = "users erased since, whose events the log no longer holds"
ITEM: Final = "item changed since, or while the list was ranked"
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
        expected: Expected,
        days: Sequence[int],
        histories: Mapping[str, str],
        erased: bool,
    ) -> None:
        """Takes what the log tells.

        Args:
            impressions: the compared ones.
            expected: what they were compared with.
            days: widths of the trailing windows.
            histories: impression id -> why its history differs.
            erased: whether users were erased since the counted days began.
        """
        self._impressions, self._expected = impressions, expected
        self._trailing = frozenset(trailing_columns(days))
        self._histories, self._erased = histories, erased

    def of(self, line: Line, feature: str) -> str:
        """The likely cause of a difference that is certain."""
        impression, had = self._impressions[line.row], self._expected.histories[line.row]
        if feature in self._trailing:
            return self._of_counts(impression, line)
        history = self._histories.get(impression.impression_id)
        if history and (feature in _OF_HISTORY or feature.startswith(_OF_PAIRS)):
            return f"{HISTORY}: {history}"
        involved = ({line.item_id} if feature in _OF_ITEM else set()) | (had if feature in _SHARES else set())
        return ITEM if self._changed(involved, line.row) else UNKNOWN

    def _of_counts(self, impression: Impression, line: Line) -> str:
        if any(reason.startswith("features:") for reason in impression.degraded):
            return LAGGING
        if self._changed([line.item_id], line.row):
            return ITEM
        return ERASED if self._erased else COUNTS

    def _changed(self, items: Iterable[str], row: int) -> bool:
        """Whether a record of one of them came into the log after the impression's ranking may have looked."""
        before = self._expected.heard[row] - MEANWHILE_SECONDS
        return any(self._expected.new_items.get(item, before) > before for item in items)
