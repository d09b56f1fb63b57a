"""Whether a file has the contract's columns and types."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from liverank.events import ARROW_SCHEMAS


def differences(table: str, found: pa.Schema) -> list[dict[str, str]]:
    """The contract's columns that a file lacks or has in another type: column, expected, found."""
    wrong = []
    for expected in ARROW_SCHEMAS[table]:
        place = found.get_field_index(expected.name)
        kind = found.field(place).type if place >= 0 else None
        if kind is None or not same(expected.type, kind):
            wrong.append(
                {"column": expected.name, "expected": str(expected.type), "found": str(kind) if kind else "(no column)"}
            )
    return wrong


def same(expected: pa.DataType, found: pa.DataType) -> bool:
    """Equal, names of nested list fields, the width of string offsets and the unit of a zoned instant aside."""
    if pa.types.is_timestamp(expected):
        return pa.types.is_timestamp(found) and found.tz is not None
    if pa.types.is_string(expected):
        return pa.types.is_string(found) or pa.types.is_large_string(found)
    if pa.types.is_list(expected):
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and same(
            expected.value_type, found.value_type
        )
    if pa.types.is_map(expected):
        return (
            pa.types.is_map(found)
            and same(expected.key_type, found.key_type)
            and same(expected.item_type, found.item_type)
        )
    if pa.types.is_struct(expected):
        return _same_struct(expected, found)
    return expected == found


def _same_struct(expected: pa.DataType, found: pa.DataType) -> bool:
    if not pa.types.is_struct(found):
        return False
    fields = {field.name: field.type for field in found}
    return all(field.name in fields and same(field.type, fields[field.name]) for field in expected)


def sentence(wrong: Sequence[dict[str, str]]) -> str:
    """The differences in words."""
    return " ".join(f"{line['column']}: expected {line['expected']}, found {line['found']}." for line in wrong)
