"""Records that earlier versions took and today's data contract would not: what they said, within its bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import INSTANTS, LARGEST_SCORE, LAST_POSITION, Record, Timestamp, to_utc
from liverank.instants import in_utc

_POSITIONS: Final = (c.POSITION, c.INCOMING_POSITION)
_SCORES: Final = (c.SCORE, c.INCOMING_SCORE)
_FIELDS: Final = tuple({name for names in INSTANTS.values() for name in names})


def within_bounds(body: bytes | str) -> Record:
    """The record with each position, score and instant beyond the contract's bounds moved to the nearest within.

    They were taken once, and the log keeps them: were they refused, nothing that came after them could be read.

    Raises:
        DataError: an instant is none, or has no zone.
        msgspec.DecodeError: the contract refuses the record for another reason.
    """
    fields = msgspec.json.decode(body, type=dict[str, Any])
    if c.SHOWN in fields:
        fields[c.SHOWN] = msgspec.convert(fields[c.SHOWN], list[dict[str, Any]])
    for line in fields.get(c.SHOWN, ()):
        for name in _POSITIONS:
            if isinstance(line.get(name), int):
                line[name] = min(line[name], LAST_POSITION)
        for name in _SCORES:
            if isinstance(line.get(name), (int, float)):
                line[name] = max(-LARGEST_SCORE, min(line[name], LARGEST_SCORE))
    for name in _FIELDS:
        if fields.get(name) is not None:
            fields[name] = _nearest(msgspec.convert(fields[name], Timestamp))
    record: Record = to_utc(msgspec.convert(fields, Record))
    return record


def _nearest(at: datetime) -> datetime:
    try:
        return in_utc(at)
    except DataError:
        return (datetime.min if at.year == 1 else datetime.max).replace(tzinfo=UTC)
