"""Arguments of a user's expectations that the package takes and then fails on, or never meets: refused when read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow.types as kinds

from liverank.data.dataset import DATASET_SCHEMAS
from liverank.errors import ConfigError

_INSTANTS: Final = {
    field.name for schema in DATASET_SCHEMAS.values() for field in schema if kinds.is_timestamp(field.type)
}
_OF_SQL: Final = ("unexpected_rows_expectation", "expect_query_results_to_match_comparison")
_LIMITS: Final = (("min_value", "max_value"), ("min_length", "max_length"))


def refuse_no_objects(given: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """Raises a ConfigError where one of the named values is there and no JSON object."""
    for name in names:
        if not isinstance(given.get(name) or {}, dict):
            raise ConfigError(f'{where}: "{name}" must be a JSON object, not {given[name]!r}.')


def refuse_impossible(kind: str, kwargs: Mapping[str, Any], where: str) -> None:
    """Raises a ConfigError where an expectation could never be met or evaluated.

    Args:
        kind: its type.
        kwargs: its arguments.
        where: what is said before the reason.
    """
    if kind in _OF_SQL:
        raise ConfigError(f"{where}: it asks a database in SQL, and tables are judged here without one.")
    for low, high in _LIMITS:
        _refuse_crossed(kwargs, low, high, where)
    if "_regex" in kind:
        listed = kwargs.get("regex_list")
        for pattern in [kwargs.get("regex"), *(listed if isinstance(listed, list) else ())]:
            if isinstance(pattern, str):
                _refuse_broken(pattern, where)


def _refuse_crossed(kwargs: Mapping[str, Any], low: str, high: str, where: str) -> None:
    least: Any = kwargs.get(low)
    most: Any = kwargs.get(high)
    numbers = isinstance(least, int | float) and isinstance(most, int | float)
    if (numbers or (isinstance(least, str) and isinstance(most, str))) and least > most:
        raise ConfigError(f"{where}: {low} is {least!r}, above {high}, {most!r}: no value lies between.")


def _refuse_broken(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ConfigError(f"{where}: {pattern!r} is no regular expression: {problem}.") from problem


def in_utc(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments; dates and times without a zone that a timestamp is compared with are UTC's."""
    if kwargs.get("column") not in _INSTANTS:
        return dict(kwargs)
    return {name: _instant(value) if name in ("min_value", "max_value") else value for name, value in kwargs.items()}


def _instant(value: Any) -> Any:
    """ISO text in UTC; whatever is no date or time as it is."""
    if not isinstance(value, str):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
