"""Reads the CSV files that AWS Personalize imports: Interactions, Items and Users."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

from liverank import columns as c
from liverank.config.data import DEFAULT_WEIGHTS, SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.latest import item_fields
from liverank.data.sources.lines import Aside
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.data.sources.rows import Row, Rows, csv_header, csv_objects, instant_of
from liverank.errors import DataError

ROWS: Final = 100_000
INTERACTION: Final = (
    c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE, c.IMPRESSION_ID, c.CONTEXT,
)  # fmt: skip
IMPRESSION: Final = (c.IMPRESSION_ID, c.USER_ID, c.TIMESTAMP, c.SHOWN)
ITEM: Final = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES, c.AVAILABLE_FROM)
TYPES: Final = {"addtocart": "cart", "add_to_cart": "cart", "watch": "view", "detailpageviewed": "view"}
"""Event types that AWS names in its domains -> the contract's; others keep their name, in small letters if known."""
RESERVED: Final = (
    "USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "IMPRESSION", "RECOMMENDATION_ID",
)  # fmt: skip


class Refusal(ValueError):
    """Why a row is no record of the contract."""


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source has the columns of an Interactions data set."""
    return any(_table(file) == "interactions" for file in some_of(config))


def _table(file: Location) -> str:
    """The data set that a CSV file is, by its columns in capitals; empty where it is none."""
    if not file.name.lower().removesuffix(".gz").endswith(".csv"):
        return ""
    names = set(csv_header(file))
    if {"USER_ID", "ITEM_ID", "TIMESTAMP"} <= names:
        return "interactions"
    if "ITEM_ID" in names and "USER_ID" not in names:
        return "items"
    return "users" if "USER_ID" in names else ""


def read(config: SourceConfig) -> Parts:
    """Interactions as events (and their IMPRESSION as impressions), items, users.

    Raises:
        DataError: there are no interactions.
    """
    files = files_of(config)
    tables = {str(file): _table(file) for file in files}
    if "interactions" not in tables.values():
        raise DataError(
            f"{config.source} holds no Interactions data set.", "Expected a CSV file with USER_ID, ITEM_ID, TIMESTAMP."
        )
    rest = [file.name for file in files if not tables[str(file)]]
    if rest:
        yield Note(f"Not read, for they are no data set of Personalize: {', '.join(rest)}.")
    readers = {"interactions": _interactions, "items": _items, "users": _users}
    for file in files:
        if tables[str(file)]:
            yield from readers[tables[str(file)]](file)


def _interactions(file: Location) -> Iterator[Part]:
    aside, events = Aside("interactions", file.name), Rows("interactions", INTERACTION, file.name)
    lists, seen, unseen = Rows("impressions", IMPRESSION, file.name), set[bytes](), 0
    for found in csv_objects(file, aside, ROWS):
        for line, text, row in found:
            try:
                user, item, at = _required(row, "USER_ID"), _required(row, "ITEM_ID"), _instant(row, "TIMESTAMP")
                value = _number(row.get("EVENT_VALUE", ""))
            except Refusal as problem:
                aside.put(line, text, str(problem))
                continue
            shown = [part.strip() for part in row.get("IMPRESSION", "").split("|") if part.strip()]
            impression, key = _impression(row, user, shown)
            if shown and key not in seen:
                seen.add(key)
                listed = [{c.ITEM_ID: name, c.POSITION: place} for place, name in enumerate(shown, 1)]
                lists.add(line, impression, user, at, listed)
            unseen += bool(not shown and row.get("RECOMMENDATION_ID"))
            events.add(line, user, item, _type(row), at, value, impression if shown else None, _rest(row))
        yield from aside.take()
        yield from lists.take()
        yield from events.take()
    yield from _notes(file, len(seen), unseen)


def _notes(file: Location, lists: int, unseen: int) -> Iterator[Note]:
    if lists:
        yield Note(
            f"{file.name}: {lists:,} lists of IMPRESSION are impressions, at the time of the first event that names "
            "them; lists that nobody touched are in no such file, so that click rates of lists are too high."
        )
    if unseen:
        yield Note(
            f"{file.name}: {unseen:,} events have a RECOMMENDATION_ID and no IMPRESSION; what was shown is not in the "
            "file, so the id is kept in their context."
        )


def _impression(row: Row, user: str, shown: list[str]) -> tuple[str, bytes]:
    """The id of the list an event came from, the same for all its events, and a short key of it."""
    text = row.get("RECOMMENDATION_ID", "").strip() or "\x1f".join((user, *shown))
    digest = hashlib.sha256(text.encode())
    return row.get("RECOMMENDATION_ID", "").strip() or digest.hexdigest()[:32], digest.digest()[:8]


def _type(row: Row) -> str | None:
    """The event's type; AWS' own and those of the contract whatever their case."""
    name = row.get("EVENT_TYPE", "").strip()
    small = name.lower()
    return TYPES.get(small) or (small if small in DEFAULT_WEIGHTS else name) or "click"


def _rest(row: Row) -> list[tuple[str, str]]:
    pairs = [(name, cell.strip()) for name, cell in row.items() if name not in RESERVED and cell.strip()]
    named = row.get("RECOMMENDATION_ID", "").strip()
    return pairs + ([("recommendation_id", named)] if named and not row.get("IMPRESSION", "").strip() else [])


def _items(file: Location) -> Iterator[Part]:
    aside, rows = Aside("items", file.name), Rows("items", ITEM, file.name)
    for found in csv_objects(file, aside, ROWS):
        for line, text, row in found:
            try:
                rows.add(line, *_item(row))
            except Refusal as problem:
                aside.put(line, text, str(problem))
        yield from aside.take()
        yield from rows.take()


def _item(row: Row) -> tuple[Any, ...]:
    since = _instant(row, "CREATION_TIMESTAMP") if row.get("CREATION_TIMESTAMP", "").strip() else None
    plain = {name: cell.strip() for name, cell in row.items() if name not in ("ITEM_ID", "CREATION_TIMESTAMP")}
    names = {"CATEGORY_L1": "category", "PRODUCT_DESCRIPTION": "description", "ITEM_NAME": "name"}
    fields = [(names.get(name, name.lower()), cell) for name, cell in plain.items() if cell]
    return _required(row, "ITEM_ID"), *item_fields(fields), since


def _users(file: Location) -> Iterator[Part]:
    aside, rows = Aside("users", file.name), Rows("users", (c.USER_ID, c.ATTRIBUTES), file.name)
    for found in csv_objects(file, aside, ROWS):
        for line, text, row in found:
            pairs = [(name.lower(), cell.strip()) for name, cell in row.items() if name != "USER_ID" and cell.strip()]
            if row["USER_ID"].strip():
                rows.add(line, row["USER_ID"].strip(), pairs)
            else:
                aside.put(line, text, "USER_ID is missing")
        yield from aside.take()
        yield from rows.take()


def _required(row: Row, name: str) -> str:
    text = str(row.get(name, "")).strip()
    if not text:
        raise Refusal(f"{name} is missing")
    return text


def _instant(row: Row, name: str) -> Any:
    at = instant_of(row.get(name, "").strip())
    if at is None:
        raise Refusal(f"{name} is not seconds since 1970")
    return at


def _number(text: str) -> float:
    try:
        return float(text) if text.strip() else 1.0
    except ValueError:
        raise Refusal("EVENT_VALUE is no number") from None


FORMAT: Final = Format("personalize", "AWS Personalize: Interactions, Items and Users as CSV", recognises, read)
