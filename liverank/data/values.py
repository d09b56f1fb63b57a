"""From the columns of any file to the contract's types; what cannot be read becomes null and its row is marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from liverank.errors import DataError
from liverank.events import EXPERIMENT_ARM, FEATURE_VALUES, SHOWN_ITEM, ExperimentArm, FeatureValues, ShownItem

Mask = npt.NDArray[np.bool_]
Converted = tuple[pa.Array, Mask]
"""The column in the contract's type, and True where a value was there but could not be read."""

ZONE: Final = r" ?(?:[Zz]|UTC|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MAP = pa.map_(pa.string(), pa.string())
_Plain = str | bool | int | float | None


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array without chunks or dictionary."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_decode() if kinds.is_dictionary(array.type) else array


def mask(array: pa.Array) -> Mask:
    """A boolean Arrow array as NumPy, null as False."""
    result: Mask = pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype(bool)
    return result


def strings(array: pa.Array) -> pa.Array:
    """Text, or numbers as text (whole ones without a decimal point), empty as null."""
    if kinds.is_nested(array.type):
        raise DataError(f"holds {array.type} where text is expected; data.mapping can name a field in it.")
    text = _digits(array) if kinds.is_floating(array.type) else array.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def trimmed(text: pa.Array) -> pa.Array:
    """Text without the blanks around it; null where nothing else is there."""
    bare = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(bare, ""), pa.scalar(None, bare.type), bare)


def _digits(array: pa.Array) -> pa.Array:
    """Numbers as text, cell by cell, so that an id is the same whatever stands beside it."""
    finite = pc.is_finite(array)
    whole = pc.and_(finite, pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), 2.0**53)))
    digits = pc.if_else(whole, array, pa.scalar(None, array.type)).cast(pa.int64()).cast(pa.string())
    others = pc.if_else(finite, array, pa.scalar(None, array.type)).cast(pa.string())
    return pc.if_else(pc.fill_null(whole, False), digits, others)


def numbers(array: pa.Array) -> Converted:
    """float64."""
    if not (kinds.is_string(array.type) or kinds.is_large_string(array.type)):
        return array.cast(pa.float64()), np.zeros(len(array), bool)
    text = pc.utf8_trim_whitespace(array)
    good = mask(pc.match_substring_regex(text, NUMBER))
    result = pc.if_else(pa.array(good), text, pa.scalar(None, text.type)).cast(pa.float64())
    return result, mask(pc.is_valid(array)) & ~good


def instants(array: pa.Array, timezone: str) -> Instants:
    """ISO times, typed times, dates, or numbers since 1970, as UTC microseconds.

    Args:
        array: the column.
        timezone: the zone of times that carry none; empty: they are marked as unzoned.

    Raises:
        DataError: the column's type holds no times.
    """
    kind = array.type
    if kinds.is_date(kind):
        array = array.cast(pa.timestamp("us"))
    if kinds.is_timestamp(array.type):
        return _typed(array, timezone)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        return _counted(array.cast(pa.float64(), safe=False) if not kinds.is_integer(kind) else array)
    if not (kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise DataError(f"holds {kind} where an ISO time with a zone is expected, e.g. 2026-01-31T12:00:00Z.")
    return _parsed(array, timezone)


INSTANT = pa.timestamp("us", tz="UTC")
UNITS: Final = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1, "nanoseconds": 1}
"""Unit of a number since 1970 -> microseconds in one (a nanosecond is a thousandth)."""
EARLIEST: Final = 631_152_000
"""1990-01-01 in seconds since 1970: numbers are told apart as those that lie between it and `LATEST`."""
LATEST: Final = 4_102_444_800
"""2100-01-01 in seconds since 1970."""


class Instants(NamedTuple):
    """A column of times."""

    times: pa.Array
    """UTC microseconds, null where there is none."""
    bad: Mask
    """Where something stood that is no time."""
    unzoned: Mask
    """Where the zone is missing."""
    units: frozenset[str] = frozenset()
    """Units of the numbers that were read as times."""


def _typed(array: pa.Array, timezone: str) -> Instants:
    none = np.zeros(len(array), bool)
    if array.type.tz is not None:
        return Instants(array.cast(INSTANT, safe=False), none, none)
    if not timezone:
        return Instants(array.cast(pa.timestamp("us"), safe=False).cast(INSTANT), none, mask(pc.is_valid(array)))
    return Instants(_utc(_zoned(pd.Series(array.to_pandas()), timezone)), none, none)


def _counted(array: pa.Array) -> Instants:
    """Numbers since 1970: the unit is the one that puts them between 1990 and 2100; the four ranges do not touch."""
    cells = array.to_numpy(zero_copy_only=False)
    there = mask(pc.is_valid(array))
    whole = np.where(there, cells, 0)
    micros, known = np.zeros(len(cells), np.int64), np.zeros(len(cells), bool)
    units = set()
    for power, (unit, scale) in enumerate(UNITS.items()):
        inside = there & (whole >= EARLIEST * 1000**power) & (whole < LATEST * 1000**power)
        if inside.any():
            units.add(unit)
            found = whole[inside] // 1000 if unit == "nanoseconds" else np.round(whole[inside] * scale)
            micros[inside] = found.astype(np.int64)
            known |= inside
    times = pc.if_else(pa.array(known), pa.array(micros).cast(INSTANT), pa.scalar(None, INSTANT))
    return Instants(times, there & ~known, np.zeros(len(cells), bool), frozenset(units))


def _parsed(array: pa.Array, timezone: str) -> Instants:
    try:
        # Most files write the same form everywhere, which Arrow reads at once.
        none = np.zeros(len(array), bool)
        return Instants(array.cast(INSTANT), none, none)
    except pa.ArrowInvalid:
        pass
    digits = mask(pc.match_substring_regex(array, r"^\s*\d{9,19}(\.\d+)?\s*$"))
    if digits.any():
        return _parsed_with_numbers(array, digits, timezone)
    zoned = mask(pc.match_substring_regex(array, r"\d[T ]\d.*" + ZONE))
    # What databases print, `12:00:00 UTC` and `12:00:00 +02:00`, is ISO but for the blank and the word.
    array = pc.replace_substring_regex(array, r"(\d) ?UTC\s*$", r"\1Z")
    array = pc.replace_substring_regex(array, r"(:\d{2}(?:\.\d+)?) ([Zz]|[+-]\d{2}(?::?\d{2})?)\s*$", r"\1\2")
    text = pd.Series(array.to_pandas())
    times = pd.to_datetime(text.where(zoned), utc=True, format="ISO8601", errors="coerce")
    naive = pd.to_datetime(text.where(~zoned), format="ISO8601", errors="coerce")
    unzoned = naive.notna().to_numpy()
    if timezone:
        times = times.fillna(_zoned(naive, timezone))
        unzoned = np.zeros(len(text), bool)
    bad = text.notna().to_numpy() & times.isna().to_numpy() & ~unzoned
    return Instants(_utc(times), bad, unzoned)


def _parsed_with_numbers(array: pa.Array, digits: Mask, timezone: str) -> Instants:
    """Text of which some rows are numbers since 1970."""
    chosen = pa.array(digits)
    text = pc.utf8_trim_whitespace(pc.if_else(chosen, array, pa.scalar(None, array.type)))
    fractions = pc.any(pc.match_substring(text, ".")).as_py()
    counted = _counted(text.cast(pa.float64() if fractions else pa.int64()))
    others = _parsed(pc.if_else(chosen, pa.scalar(None, array.type), array), timezone)
    times = pc.if_else(chosen, counted.times, others.times)
    return Instants(times, counted.bad | others.bad, others.unzoned, counted.units)


def _zoned(naive: pd.Series, timezone: str) -> pd.Series:
    # A clock hour that happens twice is read as the first, one that never happens as the moment after the gap.
    first = np.ones(len(naive), bool)
    return naive.dt.tz_localize(timezone, ambiguous=first, nonexistent="shift_forward").dt.tz_convert("UTC")


def _utc(times: pd.Series) -> pa.Array:
    return pa.Array.from_pandas(times).cast(INSTANT, safe=False)


def maps(array: pa.Array) -> Converted:
    """Text to text: Arrow maps, structs, or JSON objects as text.

    Numbers become their digits, true and false these words; null fields are left out; nested ones mark the row.
    """
    if kinds.is_map(array.type):
        return array.cast(_MAP), np.zeros(len(array), bool)
    if kinds.is_struct(array.type):
        rows = array.to_pylist()
        nested = [row is not None and any(isinstance(cell, dict | list) for cell in row.values()) for row in rows]
        pairs = [None if bad or row is None else _pairs(row) for row, bad in zip(rows, nested, strict=True)]
        return pa.array(pairs, _MAP), np.array(nested, bool)
    return _decoded(array, lambda text: _pairs(msgspec.json.decode(text, type=dict[str, _Plain])), _MAP)


def _pairs(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _as_text(cell)) for name, cell in row.items() if cell is not None]


def _as_text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return msgspec.json.encode(cell).decode() if isinstance(cell, bool | int | float) else str(cell)


def shown(array: pa.Array) -> Converted:
    """The shown list: Arrow list of structs, or a JSON array as text; fields that the file lacks are null."""
    kind = pa.list_(SHOWN_ITEM)
    if kinds.is_list(array.type) or kinds.is_large_list(array.type):
        return array.cast(kind), _none(array)
    return _decoded(array, lambda text: msgspec.to_builtins(msgspec.json.decode(text, type=list[ShownItem])), kind)


def words(array: pa.Array) -> Converted:
    """A list of texts: Arrow list, or a JSON array as text."""
    kind = pa.list_(pa.string())
    if kinds.is_list(array.type) or kinds.is_large_list(array.type) or kinds.is_null(array.type):
        return array.cast(kind), _none(array)
    return _decoded(array, lambda text: msgspec.json.decode(text, type=list[str]), kind)


def feature_values(array: pa.Array) -> Converted:
    """What a ranking knew of its items: Arrow structs, or JSON objects as text."""
    return _objects(array, FeatureValues | None, FEATURE_VALUES)


def experiment_arm(array: pa.Array) -> Converted:
    """The part of an experiment that a list belongs to: Arrow structs, or JSON objects as text."""
    return _objects(array, ExperimentArm | None, EXPERIMENT_ARM)


def _objects(array: pa.Array, kind: Any, arrow: pa.DataType) -> Converted:
    if kinds.is_struct(array.type):
        return array.cast(arrow), _none(array)
    return _decoded(array, lambda text: msgspec.to_builtins(msgspec.json.decode(text, type=kind)), arrow)


def _none(array: pa.Array) -> Mask:
    return np.zeros(len(array), bool)


def _decoded(array: pa.Array, decode: Callable[[str], Any], kind: pa.DataType) -> Converted:
    """Decodes each distinct text once: contexts repeat."""
    codes = array.cast(pa.string()).dictionary_encode()
    values: list[Any] = []
    good: list[bool] = []
    for text in codes.dictionary.to_pylist():
        try:
            values.append(decode(text))
            good.append(True)
        except msgspec.DecodeError:
            values.append(None)
            good.append(False)
    readable = pa.array(good, pa.bool_()).take(codes.indices)
    return pa.array(values, kind).take(codes.indices), mask(pc.and_(pc.is_valid(array), pc.invert(readable)))
