"""From the raw rows of one file to one table of the contract, and the rows that it cannot express."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from liverank import columns as c
from liverank.data import values
from liverank.data.dataset import REJECTED_SCHEMA, rejected_rows
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

LONGEST_ID: Final = 256
LONGEST_TYPE: Final = 64
IDS: Final = (c.USER_ID, c.ITEM_ID, c.EVENT_ID, c.IMPRESSION_ID, c.SESSION_ID)
"""Columns whose text loses the blanks around it: `u1 ` of one file is `u1` of another."""
DEFAULT_TYPE: Final = "click"
NO_MAP: Final = "is not a flat JSON object of text and numbers"
REQUIRED: Final = {
    "items": (c.ITEM_ID,),
    "users": (c.USER_ID,),
    "impressions": (c.IMPRESSION_ID, c.USER_ID, c.TIMESTAMP, c.SHOWN),
    "interactions": (c.USER_ID, c.ITEM_ID, c.TIMESTAMP),
}
"""Table name -> columns a file must have: an interaction's event_id and type have a default."""
_NULLABLE: Final = {
    name: pa.schema([item.with_nullable(True) for item in schema]) for name, schema in ARROW_SCHEMAS.items()
}


@dataclass
class Conformed:
    """Rows in the contract's schema, and the others as rejected rows."""

    rows: pa.Table
    rejected: pa.Table
    unzoned: int = 0
    """Rows whose timestamp has no zone."""
    epochs: frozenset[tuple[str, str]] = frozenset()
    """(column, unit) of the numbers that were read as instants."""
    origins: pa.Array | None = None
    """Where each row came from, of rows that say so themselves."""


class _Sieve:
    """Keeps the first reason for which each row falls through."""

    def __init__(self, size: int) -> None:
        self.codes = np.zeros(size, np.int16)
        self.reasons = [""]
        self.epochs: set[tuple[str, str]] = set()

    def reject(self, rows: values.Mask, reason: str) -> None:
        """Marks the rows that nothing spoke against so far."""
        if rows.any():
            self.reasons.append(reason)
            self.codes[rows & (self.codes == 0)] = len(self.reasons) - 1

    def told(self) -> pa.Array:
        """The reasons of the marked rows."""
        return pa.array(self.reasons, pa.string()).take(pa.array(self.codes[self.codes > 0]))


def conform(
    raw: pa.Table, table: str, file: str, timezone: str = "", lines: pa.Array | None = None, origin: str | None = None
) -> Conformed:
    """Rows of one file in the contract's schema.

    Args:
        raw: the rows as read; columns that the contract does not know are left out.
        table: the contract's table that they are meant for.
        file: its name, for messages and rejected rows.
        timezone: the zone of timestamps that carry none; empty: their rows are rejected.
        lines: the line of each row in the file, from 1; None: not known.
        origin: the source's name, for rejected rows.

    Raises:
        DataError: a required column is missing or has a type that cannot hold its values.
    """
    missing = [name for name in REQUIRED[table] if name not in raw.column_names]
    if missing:
        found = ", ".join(raw.column_names) or "no column"
        expected = ", ".join(REQUIRED[table])
        raise DataError(
            f"{file} has no column {', '.join(missing)}: {table} need {expected}; found {found}.",
            "Rename the columns, or say in data.mapping which is which; docs/contract.md lists them all.",
        )
    sieve = _Sieve(raw.num_rows)
    columns = {name: _column(raw, table, name, sieve, file, timezone) for name in ARROW_SCHEMAS[table].names}
    if table == "interactions":
        columns[c.EVENT_ID] = _event_ids(columns)
        _check_id(columns[c.EVENT_ID], c.EVENT_ID, sieve)
    keep = sieve.codes == 0
    rows = pa.table(columns, schema=_NULLABLE[table])
    epochs = frozenset(sieve.epochs)
    origins = values.strings(values.flat(raw.column(c.ORIGIN))) if c.ORIGIN in raw.column_names else None
    if keep.all():
        return Conformed(rows.cast(ARROW_SCHEMAS[table]), REJECTED_SCHEMA.empty_table(), 0, epochs, origins)
    aside = pa.array(~keep)
    told = sieve.told()
    unzoned = pc.sum(pc.equal(told, _unzoned_reason(c.TIMESTAMP))).as_py()
    at = None if lines is None else lines.filter(aside)
    rejected = rejected_rows(table, raw.filter(aside), told, file, at)
    if origin is not None:
        rejected = with_origin(rejected, origin)
    kept = pa.array(keep)
    origins = origins.filter(kept) if origins is not None else None
    return Conformed(rows.filter(kept).cast(ARROW_SCHEMAS[table]), rejected, unzoned, epochs, origins)


def with_origin(rejected: pa.Table, origin: str) -> pa.Table:
    """Rejected rows that say which source they came from."""
    at = REJECTED_SCHEMA.get_field_index(c.ORIGIN)
    return rejected.set_column(at, REJECTED_SCHEMA.field(at), pa.repeat(pa.scalar(origin), rejected.num_rows))


def _unzoned_reason(name: str) -> str:
    return f"{name} has no zone"


def _column(raw: pa.Table, table: str, name: str, sieve: _Sieve, file: str, timezone: str) -> pa.Array:
    kind = ARROW_SCHEMAS[table].field(name).type
    if name not in raw.column_names or kinds.is_null(raw.column(name).type):
        array = pa.nulls(raw.num_rows, pa.string() if kinds.is_nested(kind) else kind)
    else:
        array = values.flat(raw.column(name))
    try:
        converted = _convert(array, table, name, sieve, timezone)
    except (DataError, pa.ArrowException) as problem:
        detail = problem.message if isinstance(problem, DataError) else f"cannot be read: {problem}"
        raise DataError(f"{file}: column {name} {detail}", f"The contract wants {kind} there.") from problem
    return _filled(converted, name, absent=name not in raw.column_names)


def _convert(array: pa.Array, table: str, name: str, sieve: _Sieve, timezone: str) -> pa.Array:
    if name in (c.TIMESTAMP, c.AVAILABLE_FROM, c.RECEIVED_AT):
        return _instants(array, name, sieve, timezone)
    converter = {
        c.VALUE: (values.numbers, "is not a number"),
        c.ATTRIBUTES: (values.maps, NO_MAP),
        c.CONTEXT: (values.maps, NO_MAP),
        c.SHOWN: (values.shown, "is not a list of shown items"),
        c.DEGRADED: (values.words, "is not a list of texts"),
        c.FEATURE_VALUES: (values.feature_values, "is not an object of names, item_ids and values"),
        c.EXPERIMENT_ARM: (values.experiment_arm, "is not an object of name, variant and teams"),
    }.get(name)
    if converter:
        result, bad = converter[0](array)
        sieve.reject(bad, f"{name} {converter[1]}")
        if name in REQUIRED[table]:
            sieve.reject(values.mask(pc.is_null(result)), f"{name} is missing")
        return result
    text = values.trimmed(values.strings(array)) if name in IDS else values.strings(array)
    if name in REQUIRED[table]:
        _check_id(text, name, sieve)
    elif name == c.TYPE and pc.any(pc.is_valid(text)).as_py():
        sieve.reject(values.mask(pc.is_null(text)), f"{name} is missing")
        sieve.reject(values.mask(pc.greater(pc.utf8_length(text), LONGEST_TYPE)), f"{name} is longer than 64 letters")
    return text


def _instants(array: pa.Array, name: str, sieve: _Sieve, timezone: str) -> pa.Array:
    result, bad, unzoned, units = values.instants(array, timezone)
    sieve.epochs |= {(name, unit) for unit in units}
    sieve.reject(unzoned, _unzoned_reason(name))
    sieve.reject(bad, f"{name} is not an ISO time")
    if name == c.TIMESTAMP:
        sieve.reject(values.mask(pc.is_null(result)), f"{name} is missing")
    return result


def _check_id(text: pa.Array, name: str, sieve: _Sieve) -> None:
    sieve.reject(values.mask(pc.is_null(text)), f"{name} is missing")
    sieve.reject(values.mask(pc.greater(pc.utf8_length(text), LONGEST_ID)), f"{name} is longer than 256 letters")


def _filled(array: pa.Array, name: str, absent: bool) -> pa.Array:
    """Null as the contract's default for the column."""
    if name in (c.TITLE, c.TEXT, c.CATEGORY, c.SURFACE, c.MODEL_VERSION, c.HISTORY_DIGEST):
        return pc.fill_null(array, "")
    if name == c.VALUE:
        return pc.fill_null(array, 1.0)
    if name == c.TYPE and absent:
        return pc.fill_null(array, DEFAULT_TYPE)
    if name in (c.ATTRIBUTES, c.CONTEXT, c.DEGRADED):
        return pc.if_else(pc.is_null(array), pa.scalar([], array.type), array)
    return array


def _event_ids(columns: dict[str, pa.Array]) -> pa.Array:
    """The given ids; where there is none, a hash of the row's content, so that the same row gets the same id again."""
    ids = columns[c.EVENT_ID]
    empty = values.mask(pc.is_null(ids))
    if not empty.any():
        return ids
    parts = [columns[name].cast(pa.string()) for name in (c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.VALUE)]
    parts += [columns[name] for name in (c.IMPRESSION_ID, c.SESSION_ID)]
    text = pc.binary_join_element_wise(*[pc.fill_null(part, "") for part in parts], "\x1f")
    hashed = [hashlib.sha256(row.encode()).hexdigest()[:32] for row in text.filter(pa.array(empty)).to_pylist()]
    result = ids.to_numpy(zero_copy_only=False).astype(object)
    result[empty] = hashed
    return pa.array(result, pa.string())


def bare_items(interactions: pa.Table) -> pa.Table:
    """The items that events name, without any text, in the order in which they first appear."""
    ids = pc.unique(interactions.column(c.ITEM_ID))
    return conform(pa.table({c.ITEM_ID: ids.cast(pa.string())}), "items", "the interactions").rows
