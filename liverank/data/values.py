"""From the columns of any file to the contract's types; what cannot be read becomes null and its row is marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from liverank.errors import DataError
from liverank.events import SHOWN_ITEM, ShownItem

Mask = npt.NDArray[np.bool_]
Converted = tuple[pa.Array, Mask]
"""The column in the contract's type, and True where a value was there but could not be read."""

ZONE: Final = r"(?:[Zz]|[+-]\d{2}:?\d{2}|[+-]\d{2})$"
NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_MAP = pa.map_(pa.string(), pa.string())


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
    if kinds.is_floating(array.type):
        array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, array.type))
        whole = pc.all(pc.equal(pc.floor(array), array)).as_py()
        array = array.cast(pa.int64()) if whole is not False else array
    if kinds.is_nested(array.type):
        raise DataError(f"holds {array.type} where text is expected.")
    text = array.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def numbers(array: pa.Array) -> Converted:
    """float64."""
    if not (kinds.is_string(array.type) or kinds.is_large_string(array.type)):
        return array.cast(pa.float64()), np.zeros(len(array), bool)
    text = pc.utf8_trim_whitespace(array)
    good = mask(pc.match_substring_regex(text, NUMBER))
    result = pc.if_else(pa.array(good), text, pa.scalar(None, text.type)).cast(pa.float64())
    return result, mask(pc.is_valid(array)) & ~good


def instants(array: pa.Array, timezone: str) -> tuple[pa.Array, Mask, Mask]:
    """UTC microseconds; True where unreadable; True where the zone is missing (never when `timezone` is given)."""
    if kinds.is_timestamp(array.type):
        none = np.zeros(len(array), bool)
        if array.type.tz is None and not timezone:
            return array.cast(pa.timestamp("us"), safe=False).cast(INSTANT), none, mask(pc.is_valid(array))
        series = pd.Series(array.to_pandas())
        return _localised(series, timezone) if array.type.tz is None else _utc(series), none, none
    if not (kinds.is_string(array.type) or kinds.is_large_string(array.type)):
        raise DataError(f"holds {array.type} where an ISO time with a zone is expected, e.g. 2026-01-31T12:00:00Z.")
    return _parsed(array, timezone)


INSTANT = pa.timestamp("us", tz="UTC")


def _parsed(array: pa.Array, timezone: str) -> tuple[pa.Array, Mask, Mask]:
    zoned = mask(pc.match_substring_regex(array, r"\d[T ]\d.*" + ZONE))
    text = pd.Series(array.to_pandas())
    times = pd.to_datetime(text.where(zoned), utc=True, format="ISO8601", errors="coerce")
    naive = pd.to_datetime(text.where(~zoned), format="ISO8601", errors="coerce")
    unzoned = naive.notna().to_numpy()
    if timezone:
        times = times.fillna(_zoned(naive, timezone))
        unzoned = np.zeros(len(text), bool)
    bad = text.notna().to_numpy() & times.isna().to_numpy() & ~unzoned
    return _utc(times), bad, unzoned


def _zoned(naive: pd.Series, timezone: str) -> pd.Series:
    # A clock hour that happens twice is read as the first, one that never happens as the moment after the gap.
    first = np.ones(len(naive), bool)
    return naive.dt.tz_localize(timezone, ambiguous=first, nonexistent="shift_forward").dt.tz_convert("UTC")


def _localised(naive: pd.Series, timezone: str) -> pa.Array:
    return _utc(_zoned(naive, timezone))


def _utc(times: pd.Series) -> pa.Array:
    return pa.Array.from_pandas(times).cast(INSTANT, safe=False)


def maps(array: pa.Array) -> Converted:
    """Text to text: Arrow maps, structs (null fields left out), or JSON objects as text."""
    if kinds.is_map(array.type):
        return array.cast(_MAP), np.zeros(len(array), bool)
    if kinds.is_struct(array.type):
        rows = [{k: str(v) for k, v in row.items() if v is not None} if row else row for row in array.to_pylist()]
        return pa.array([list(row.items()) if row is not None else None for row in rows], _MAP), _none(array)
    return _decoded(array, lambda text: list(msgspec.json.decode(text, type=dict[str, str]).items()), _MAP)


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
