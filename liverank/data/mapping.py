"""`data.mapping`: the contract's fields taken from a source's own columns, with dots into nested ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from liverank import columns as c
from liverank.data import values
from liverank.errors import ConfigError, DataError
from liverank.events import ARROW_SCHEMAS

_IDS: Final = (c.USER_ID, c.ITEM_ID, c.EVENT_ID, c.IMPRESSION_ID, c.SESSION_ID)
Mappings = Mapping[str, Mapping[str, str]]


def check(mappings: Mappings) -> None:
    """Refuses tables and fields that the contract does not have.

    Raises:
        ConfigError: a table or a field is not the contract's.
    """
    for table, fields in mappings.items():
        if table not in ARROW_SCHEMAS:
            raise ConfigError(f"data.mapping names the table {table!r}.", f"Write one of {', '.join(ARROW_SCHEMAS)}.")
        unknown = [name for name in fields if name not in ARROW_SCHEMAS[table].names]
        if unknown:
            known = ", ".join(ARROW_SCHEMAS[table].names)
            raise ConfigError(f"data.mapping.{table} names the field {unknown[0]!r}.", f"{table} have {known}.")


def fits(fields: Mapping[str, str], names: Sequence[str]) -> bool:
    """Whether a file with these columns has all that the mapping takes from it."""
    return all(_column(path, names) is not None for path in fields.values())


def id_columns(mappings: Mappings) -> list[str]:
    """The source's own fields that hold ids, each whole: a path into one says that it is an object."""
    taken = {name: path for fields in mappings.values() for name, path in fields.items()}
    within = {path.split(".")[0] for path in taken.values() if "." in path}
    return sorted({taken.get(name, name) for name in _IDS} - within)


def missing(fields: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The contract's fields that the mapping takes from columns which a file with these does not have."""
    return [name for name, path in fields.items() if _column(path, names) is None]


def after(fields: Mapping[str, str], names: Sequence[str]) -> set[str]:
    """The names of the columns once the mapping is applied."""
    used = {_column(path, names) for path in fields.values()}
    return set(fields) | (set(names) - used)


def mapped(rows: pa.Table, fields: Mapping[str, str], file: str, table: str = "") -> pa.Table:
    """The rows with the mapped fields in place of the columns they are taken from; others keep their name.

    Raises:
        DataError: a column is not there, or is not nested as the path says.
    """
    if not fields:
        return rows
    taken = {
        name: _picked(rows, path, file, f"data.mapping.{table}.{name}" if table else "data.mapping")
        for name, path in fields.items()
    }
    used = {_column(path, rows.column_names) for path in fields.values()}
    rest = [name for name in rows.column_names if name not in taken and name not in used]
    return pa.table({**taken, **{name: rows.column(name) for name in rest}})


def _column(path: str, names: Sequence[str]) -> str | None:
    """The column that a path begins with: the longest one that fits."""
    parts = path.split(".")
    heads = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((head for head in heads if head in names), None)


def _picked(rows: pa.Table, path: str, file: str, key: str) -> pa.Array:
    head = _column(path, rows.column_names)
    if head is None:
        found = ", ".join(rows.column_names)
        raise DataError(
            f"{file} has no column {path.split('.')[0]}, which {key} names; found {found}.", "Mend the mapping."
        )
    array = values.flat(rows.column(head))
    rest = path[len(head) + 1 :]
    try:
        return _inside(array, rest.split(".")) if rest else array
    except (pa.ArrowException, KeyError) as problem:
        raise DataError(
            f"{file}: {key} names {path}, and the column {head} has no {rest} in it: it is {array.type}.",
            "Mend the mapping.",
        ) from problem


def _inside(array: pa.Array, path: list[str]) -> pa.Array:
    """What stands at a path within each cell: struct, map, or JSON text; null where there is nothing."""
    if not path or kinds.is_null(array.type):
        return array
    if kinds.is_struct(array.type):
        return _inside(pc.struct_field(array, path[0]), path[1:])
    if kinds.is_map(array.type):
        return _inside(pc.map_lookup(array, path[0], "first"), path[1:])
    codes = array.cast(pa.string()).dictionary_encode()
    found = pa.array([_within(text, path) for text in codes.dictionary.to_pylist()], pa.string())
    return found.take(codes.indices)


def _within(text: str, path: list[str]) -> str | None:
    try:
        cell: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    for name in path:
        cell = cell.get(name) if isinstance(cell, dict) else None
    return cell if cell is None or isinstance(cell, str) else msgspec.json.encode(cell).decode("utf-8")
