"""Instants: as people write them on a command line, and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from liverank.errors import ConfigError, DataError


def in_utc(at: datetime, name: str = "timestamp") -> datetime:
    """The instant in UTC.

    Args:
        at: the instant, with a zone.
        name: the field it is of, for the message.

    Raises:
        DataError: in UTC it would lie outside the years 1 to 9999.
    """
    try:
        return at.astimezone(UTC)
    except OverflowError as problem:
        raise DataError(
            f"The {name} {at.isoformat()} has no equal in UTC.", "It must lie in the years 1 to 9999 there too."
        ) from problem


def instant_of(text: str, option: str, *, zoned: bool = False) -> datetime:
    """The instant that a date or time names; without a zone it is one in UTC.

    Args:
        text: ISO 8601, such as 2026-03-01 or 2026-03-01T12:00Z.
        option: where it was written, such as `--since`, for the message.
        zoned: refuse a time without a zone.

    Raises:
        ConfigError: the text is no time, or has no zone where one is asked for.

    >>> instant_of("2011-11-10", "--cut").isoformat()
    '2011-11-10T00:00:00+00:00'
    """
    hint = "Write it like 2026-03-01T12:00:00Z." if zoned else "Write it like 2026-03-01 or 2026-03-01T12:00:00Z."
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option}: '{text}' is no date or time.", hint) from None
    if found.tzinfo is None and zoned:
        raise ConfigError(f"{option}: '{text}' has no zone.", hint)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
