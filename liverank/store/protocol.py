"""What the server, the monitor and the pipeline need of a live store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from liverank.events import Item, Record
from liverank.ranking.protocol import History
from liverank.store.erasures import Erasure


class LiveStore(Protocol):
    """Records in arrival order and each user's history; safe for many threads and processes.

    Every method raises `StoreError` where the store cannot be reached or refuses the call.
    """

    @property
    def place(self) -> str:
        """What messages call it: a path, or a URL without password."""
        ...

    def append(self, records: Sequence[Record]) -> int:
        """Writes records, all or none, and returns how many said something new; they are durable when it returns.

        An interaction or impression whose id is known is left as it was; an item or user replaces its older version
        and moves to the end of the log, unless it is equal.

        Raises:
            DataError: one of them is no record of the contract; none was written.
        """
        ...

    def append_batches(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        """Several appends, all or none, at the price of one; the number of new records of each."""
        ...

    def history(self, user_id: str, n: int, before: float | None = None) -> History:
        """The latest `n` events of a user by (timestamp, arrival), oldest first; empty for an unknown user.

        `before` leaves out what is dated at that time (epoch seconds) or later, as training does for a request.
        """
        ...

    def export(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records after the cursor `since` in arrival order, each with its own cursor; at most `limit`."""
        ...

    def export_arrivals(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, float, Record]]:
        """As `export`, with the epoch seconds at which each record arrived between its cursor and itself."""
        ...

    def cursor_before(self, arrived: float) -> int:
        """A cursor before the first record that arrived at that time or later; reads what precedes it in the log.

        Arrivals need not be in order: clocks differ, and one may have been set back.
        """
        ...

    def cursor(self) -> int:
        """Sequence number of the latest record ever written (0: none), also when it has been erased since."""
        ...

    def identity(self) -> str:
        """16 hex digits that no other live store has, but for a copy of this one."""
        ...

    def erasures(self) -> list[Erasure]:
        """Every erased user, in the order of the (latest) erasure of each."""
        ...

    def items(self, since: int = 0) -> list[Item]:
        """The latest version of every item that came or changed after the cursor `since`, in arrival order."""
        ...

    def user(self, user_id: str) -> list[Record]:
        """Everything the store holds about a user, in arrival order."""
        ...

    def user_arrivals(self, user_id: str) -> list[tuple[int, float, Record]]:
        """As `user`, each record with its cursor and the epoch seconds at which it arrived."""
        ...

    def first_arrival(self, user_id: str) -> float | None:
        """Epoch seconds at which the store's oldest record about a user arrived; None for an unknown user."""
        ...

    def erase(self, user_id: str) -> int:
        """Deletes everything about a user, on disk too, and returns how many records that were.

        What stays is an `Erasure`, by which copies of the log learn of it.
        """
        ...

    def acknowledge(self, reader: str, cursor: int) -> None:
        """Says that `reader` has what it needs of the log up to `cursor`; a bounded log removes no more than that.

        A reader that keeps a copy of the log is called "landing ..."; before one is known, nothing is removed.
        """
        ...

    def trimmed(self) -> int:
        """Cursor up to which interactions and impressions were removed from a bounded log; 0: it is whole."""
        ...

    def close(self) -> None:
        """Closes every connection; the store cannot be used afterwards."""
        ...
