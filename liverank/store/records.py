"""Records as live stores keep them: under a kind and a key, of a user or of none, as JSON."""

from __future__ import annotations

import logging

import msgspec

from liverank.errors import DataError
from liverank.events import Impression, Interaction, Item, Record, User, to_utc
from liverank.store.former import within_bounds

_log = logging.getLogger(__name__)
_DECODER = msgspec.json.Decoder(Record)


def decoded(sequence: int, body: bytes | str) -> Record:
    """The record in a log's line; one beyond bounds that earlier versions did not have is moved within them.

    Raises:
        DataError: no version of the contract can read it.
    """
    try:
        return _read(sequence, body)
    except (DataError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise DataError(
            f"Record {sequence} of the live store cannot be read: {problem}.",
            "It is damaged, or of a later version of liverank: put a backup of the store in its place, or upgrade.",
        ) from problem


def _read(sequence: int, body: bytes | str) -> Record:
    try:
        record: Record = to_utc(_DECODER.decode(body))
    except (DataError, msgspec.ValidationError):
        record = within_bounds(body)
        _log.warning(
            "Record %d of the live store was taken by an earlier version: a position, score or instant lies beyond the "
            "data contract's bounds and is read as the nearest within.",
            sequence,
        )
    return record


def key_of(record: Record) -> tuple[str, str, str | None]:
    """A record's kind, its id among those of its kind, and the user it is of.

    Raises:
        DataError: it is no record of the contract.
    """
    if isinstance(record, Interaction):
        return "interaction", record.event_id, record.user_id
    if isinstance(record, Impression):
        return "impression", record.impression_id, record.user_id
    if isinstance(record, User):
        return "user", record.user_id, record.user_id
    if isinstance(record, Item):
        return "item", record.item_id, None
    raise DataError(f"{type(record).__name__} is no record of the data contract.")
