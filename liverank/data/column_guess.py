"""Guesses which column of a plain table is which field of the contract, by the names and by the values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data import values
from liverank.data.column_names import NO_IDS, SYNONYMS, plain
from liverank.data.event_types import is_event_word
from liverank.errors import DataError

BY_NAME: Final = "its name"
BY_VALUES: Final = "its values: check it"
LOOKED_AT: Final = 2_000
"""Rows whose values are looked at."""
MOST: Final = 0.9
"""Share of a column's values that must look like a time (a number) for it to be one."""
EPOCHS: Final = ((1e8, 1e10), (1e11, 1e13))
"""What numbers are seconds (from 1973 to 2286) or milliseconds since 1970."""
NAIVE: Final = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$"


@dataclass(frozen=True)
class Guess:
    """A field of the contract and the column it seems to be."""

    field: str
    column: str
    why: str
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableGuess:
    """What a file seems to hold."""

    table: str
    guesses: tuple[Guess, ...]
    left: tuple[str, ...]
    """Columns that nothing is made of."""
    zoneless: bool = False
    """Whether its times carry no zone."""

    @property
    def mapping(self) -> dict[str, str]:
        """Field -> column, where the two differ."""
        return {guess.field: guess.column for guess in self.guesses if guess.field != guess.column}


def guess_table(rows: pa.Table, stem: str, only: str = "") -> TableGuess | None:
    """What a file's first rows seem to be; None where there is neither an item nor a user in them.

    Args:
        rows: some rows, text or typed.
        stem: the file's name without its suffix, which may say that it holds items or users.
        only: the table that it is known to be; empty: any.
    """
    rows = rows.slice(0, LOOKED_AT)
    # A column that is empty throughout says nothing.
    names = [name for name in rows.column_names if rows.column(name).null_count < rows.num_rows]
    for table in (only,) if only in SYNONYMS else _order(stem):
        found = _by_names(table, names)
        found = _complete(table, found, rows, names) if table == "interactions" else found
        if _enough(table, found):
            return _told(table, found, rows, names)
    return None


def _order(stem: str) -> tuple[str, ...]:
    words = plain(stem)
    if any(
        word in words
        for word in ("item", "product", "article", "artikel", "produ", "movie", "catalog", "商品", "goods")
    ):
        return ("items", "interactions", "users") if not _eventful(words) else ("interactions", "items", "users")
    if any(word in words for word in ("users", "customers", "kunden", "members", "用户")) and not _eventful(words):
        return ("users", "interactions", "items")
    return ("interactions", "items", "users")


def _eventful(words: str) -> bool:
    return any(
        word in words for word in ("event", "click", "view", "order", "purchase", "interaction", "rating", "log")
    )


def _by_names(table: str, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Field -> (column, why), each column for one field, the likelier names first."""
    # Of `user.id` the whole name says most, and where that says nothing, its last part.
    inner = {plain(name.rsplit(".", 1)[-1]): name for name in reversed(names) if "." in name}
    plains = inner | {plain(name): name for name in reversed(names)}
    found: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for field, synonyms in SYNONYMS[table].items():
        for synonym in (field, *synonyms):
            column = plains.get(plain(synonym))
            if column and column not in taken:
                found[field] = (column, BY_NAME)
                taken.add(column)
                break
    return found


def _complete(
    table: str, found: dict[str, tuple[str, str]], rows: pa.Table, names: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Replaces a time that is none, a value that is no number, and looks for what no name told."""
    if c.TIMESTAMP in found and not _is_time(rows.column(found[c.TIMESTAMP][0])):
        by_values = _first(rows, names, found, _is_time)
        found = {**found, c.TIMESTAMP: (by_values, BY_VALUES)} if by_values else found
    if c.VALUE in found and not _is_number(rows.column(found[c.VALUE][0])):
        found = {field: told for field, told in found.items() if field != c.VALUE}
    looks = {c.TIMESTAMP: _is_time, c.TYPE: _is_type}
    for field, looks_like in looks.items():
        if field not in found and (column := _first(rows, names, found, looks_like)):
            found = {**found, field: (column, BY_VALUES)}
    if c.TIMESTAMP in found:
        likely = [name for name in names if plain(name.rsplit(".", 1)[-1]) not in NO_IDS]
        for field in (c.USER_ID, c.ITEM_ID):
            if field not in found and (column := _first(rows, likely, found, _is_id)):
                found = {**found, field: (column, BY_VALUES)}
    return found


def _first(rows: pa.Table, names: Sequence[str], found: Mapping[str, tuple[str, str]], looks_like: Any) -> str:
    taken = {column for column, _ in found.values()}
    return next((name for name in names if name not in taken and looks_like(rows.column(name))), "")


def _enough(table: str, found: Mapping[str, Any]) -> bool:
    if table == "interactions":
        return {c.USER_ID, c.ITEM_ID, c.TIMESTAMP} <= set(found)
    if table == "items":
        return c.ITEM_ID in found and (len(found) > 1)
    return c.USER_ID in found


def _told(table: str, found: Mapping[str, tuple[str, str]], rows: pa.Table, names: Sequence[str]) -> TableGuess:
    guesses = tuple(Guess(field, column, why, _samples(rows, column)) for field, (column, why) in found.items())
    used = {guess.column for guess in guesses}
    left = tuple(name for name in names if name not in used)
    times = [rows.column(guess.column) for guess in guesses if guess.field == c.TIMESTAMP]
    return TableGuess(table, guesses, left, any(_is_naive(column) for column in times))


def _samples(rows: pa.Table, column: str) -> tuple[str, ...]:
    distinct = dict.fromkeys(str(value) for value in rows.column(column).slice(0, 200).to_pylist() if value is not None)
    return tuple(distinct)[:3]


def _texts(column: pa.ChunkedArray) -> list[str]:
    return [str(value) for value in column.drop_null().slice(0, 500).to_pylist()]


def _share(texts: list[str], good: Any) -> float:
    return sum(bool(good(text)) for text in texts) / len(texts) if texts else 0.0


def _is_time(column: pa.ChunkedArray) -> bool:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True
    return _share(_texts(column), _time_like) >= MOST


def _time_like(text: str) -> bool:
    if re.match(r"\d{4}-\d\d-\d\d([T ]\d|$)", text):
        return True
    try:
        number = float(text)
    except ValueError:
        return False
    return any(low <= number < high for low, high in EPOCHS)


def _is_naive(column: pa.ChunkedArray) -> bool:
    if pa.types.is_timestamp(column.type):
        return column.type.tz is None
    return pa.types.is_date(column.type) or _share(_texts(column), re.compile(NAIVE).match) >= MOST


def _is_number(column: pa.ChunkedArray) -> bool:
    try:
        numbers, bad = values.numbers(values.flat(column))
    except (DataError, pa.ArrowException):
        return False
    return bool(bad.mean() <= 1 - MOST) and numbers.null_count < len(numbers)


def _is_type(column: pa.ChunkedArray) -> bool:
    texts = _texts(column) if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type) else []
    distinct = set(texts)
    return 0 < len(distinct) <= 30 and any(is_event_word(text) for text in distinct)


def _is_id(column: pa.ChunkedArray) -> bool:
    """Short texts or whole numbers of which many repeat and many differ."""
    if pa.types.is_nested(column.type) or pa.types.is_floating(column.type):
        return False
    texts = _texts(column)
    short = all(text and len(text) <= 64 and " " not in text for text in texts)
    distinct = pc.count_distinct(column).as_py()
    return short and len(texts) >= 5 and 3 <= distinct < len(column)
