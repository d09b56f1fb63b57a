"""Histories of the users who were ranked for lately, with what the model made of each: read once while unchanged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

import numpy as np

from liverank.ranking.protocol import History

OVERHEAD_BYTES: Final = 8_000
"""What is taken to be held beside the arrays: tables, the objects around arrays, names."""
EVENT_BYTES: Final = 400
"""What each event is taken to hold as objects of Python: in the history, and in what is known of it."""


class Histories:
    """The users ranked for last, in at most `limit_mib`; 0 keeps nobody.

    The store is asked all the same, since another server may have written to it: only what is made of equal events is
    spared. One thread at a time reads; what is kept is forgotten by `clear` when another model takes over, lest the old
    one stays in memory.
    """

    def __init__(self, limit_mib: float, on_read: Callable[[bool], object] = lambda hit: None) -> None:
        self._limit = int(limit_mib * 2**20)
        self._on_read = on_read
        self._kept: OrderedDict[str, History] = OrderedDict()
        self._sizes: dict[str, tuple[int, int]] = {}
        """Of each user, how many things are kept, and their bytes."""
        self._held = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held_mib(self) -> float:
        """About how much is kept, as of the last `weigh`."""
        return self._held / 2**20

    def read(self, user_id: str, history: History) -> History:
        """The same events, with what was made of them before where they are still the user's."""
        if not self._limit:
            return history
        if not len(history):
            self._forget(user_id)  # erased, it may be
            return history
        kept = self._kept.get(user_id)
        same = kept is not None and kept == history
        self._on_read(same)
        if kept is not None and same:
            self._kept.move_to_end(user_id)
            return kept
        fresh = replace(history, memo={})
        self._forget(user_id)
        self._kept[user_id] = fresh
        return fresh

    def weigh(self, user_ids: Iterable[str]) -> None:
        """Counts what was made of these users' histories, and forgets the users of longest ago where it is too much."""
        for user_id in user_ids:
            history = self._kept.get(user_id)
            count, size = self._sizes.get(user_id, (0, 0))
            if history is not None and history.memo is not None and count != len(history.memo):
                now = OVERHEAD_BYTES + _told(history) + _bytes(history.memo)
                self._held += now - size
                self._sizes[user_id] = len(history.memo), now
        while self._held > self._limit:
            self._forget(next(iter(self._kept)))

    def clear(self) -> None:
        """Forgets everybody."""
        self._kept.clear()
        self._sizes.clear()
        self._held = 0

    def _forget(self, user_id: str) -> None:
        self._kept.pop(user_id, None)
        self._held -= self._sizes.pop(user_id, (0, 0))[1]


def _told(history: History) -> int:
    """About the bytes of the events themselves."""
    return EVENT_BYTES * len(history) + sum(map(len, history.item_ids))


def _bytes(value: Any) -> int:
    """Bytes of the arrays in what rankers keep; the ranker itself, an owner beside them, is not the history's."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(_bytes(made) for _, made in value.values())
    if isinstance(value, (tuple, list)):
        return sum(map(_bytes, value))
    if is_dataclass(value):
        return sum(_bytes(getattr(value, field.name)) for field in fields(value))
    return 0
