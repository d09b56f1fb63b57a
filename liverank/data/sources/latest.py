"""Catalogues that a log tells piece by piece: of each field of an item or user, the value with the latest time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from liverank import columns as c
from liverank.data.sources.parts import BATCH_ROWS, Part
from liverank.data.sources.rows import Pairs, Rows

TITLES: Final = ("title", "name", "product_title", "product_name", "headline")
TEXTS: Final = ("text", "description", "overview", "abstract", "body", "content", "summary")
CATEGORIES: Final = ("category", "categories", "genres", "genre", "product_category", "department")
"""Names of fields that become an item's title, text and category, the first that is there; the rest are attributes."""


class Latest:
    """Items (or users) and their fields, held in memory until the log has ended."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.known: dict[str, dict[str, tuple[datetime, str]]] = {}

    def learn(self, number: str, fields: Pairs, at: datetime) -> None:
        """Takes over fields that are not older than what is known; equal times: the later line."""
        have = self.known.setdefault(number, {})
        for name, text in fields:
            if name not in have or at >= have[name][0]:
                have[name] = (at, text)

    def take(self) -> Iterator[Part]:
        """What is known, as batches."""
        items = self.table == "items"
        names = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES) if items else (c.USER_ID, c.ATTRIBUTES)
        rows = Rows(self.table, names)
        for number, told in self.known.items():
            fields = [(name, text) for name, (_, text) in told.items()]
            rows.add(0, number, *(item_fields(fields) if items else (fields,)))
            if len(rows.lines) >= BATCH_ROWS:
                yield from rows.take()
        yield from rows.take()


def item_fields(fields: Pairs) -> tuple[str, str, str, Pairs]:
    """Title, text, category and attributes from named texts; a category of several is its first."""
    known = dict(fields)
    title, text, category = (_first(known, names) for names in (TITLES, TEXTS, CATEGORIES))
    taken = {title, text} | ({category} if "|" not in known.get(category, "") else set())
    rest = [(name, value) for name, value in fields if name not in taken]
    return known.get(title, ""), known.get(text, ""), known.get(category, "").split("|")[0], rest


def _first(known: dict[str, str], names: Sequence[str]) -> str:
    lower = {name.lower(): name for name in reversed(list(known))}
    return next((lower[name] for name in names if name in lower), "")
