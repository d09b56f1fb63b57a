"""Items that another server took: each server's model has to learn of them from the live store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from liverank.events import Item
from liverank.store import LiveStore

POLL_SECONDS: Final = 1.0
"""Between looks: how much later than at the server that took it an item is known to the others."""


class NewItems:
    """Tells which items of the store a server's model does not know yet, until `reached` says that it does; one caller
    at a time.
    """

    def __init__(self, store: LiveStore) -> None:
        self._store = store
        self._cursor = 0
        self._own: dict[str, Item] = {}

    def all(self) -> tuple[list[Item], int]:
        """Every item, for a model that was just loaded, and how far in the log that is."""
        cursor = self._store.cursor()
        return self._store.items(), cursor

    def took(self, items: Iterable[Item]) -> None:
        """Says what this server took and its model knows already."""
        self._own.update((item.item_id, item) for item in items)

    def unseen(self) -> tuple[list[Item], int]:
        """What others took since the place in the log that was reached last, and how far that is.

        Raises:
            StoreError: the store cannot be read.
        """
        cursor = self._store.cursor()
        found = self._store.items(self._cursor) if cursor > self._cursor else []
        return [item for item in found if self._own.get(item.item_id) != item], cursor

    def reached(self, cursor: int) -> None:
        """Says that the model knows everything up to a place in the log."""
        self._cursor = cursor
        self._own.clear()
