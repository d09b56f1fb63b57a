"""What users did before the model server came: the source's latest events, put into the live store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.accept import Accepted, accept
from liverank.data.ingest import source_names
from liverank.data.sources.registry import format_of
from liverank.errors import DataError
from liverank.events import INTERACTION_SCHEMA, from_table
from liverank.progress import note, stage

if TYPE_CHECKING:
    from liverank.store import LiveStore

RECORDS_AT_ONCE: Final = 5000
ROWS_AT_ONCE: Final = 1_000_000


def backfill(config: DataConfig, store: LiveStore, per_user: int, now: datetime) -> int:
    """Appends each user's latest `per_user` interactions of the sources to the store and returns how many were new.

    Events of a type without a weight and events after `now` are left out: the server would refuse the first, and the
    second would stay every user's latest. Doing it again adds nothing.

    Raises:
        DataError: a source cannot be read, or there is none.
    """
    if not config.every_source():
        raise DataError("data.source is not set.", "Set data.source to your data.")
    events = _known_when_it_happened(_of_all_sources(config, per_user, now))
    new = 0
    with stage("fill the live store", total=events.num_rows) as progress:
        for start in range(0, events.num_rows, RECORDS_AT_ONCE):
            records = from_table(events.slice(start, RECORDS_AT_ONCE), "interactions")
            new += store.append(records)
            progress.advance(len(records))
    note(f"{new:,} of {events.num_rows:,} events are new in the live store.")
    return new


def _known_when_it_happened(events: pa.Table) -> pa.Table:
    """The events with their arrival said: to the store all of them arrive now, and would look months late."""
    at = events.schema.get_field_index(c.RECEIVED_AT)
    arrived = pc.coalesce(events.column(c.RECEIVED_AT), events.column(c.TIMESTAMP))
    return events.set_column(at, events.schema.field(at), arrived)


def _of_all_sources(config: DataConfig, per_user: int, now: datetime) -> pa.Table:
    """The latest events of all sources together; no more than a few batches beyond them are in memory."""
    known, types = INTERACTION_SCHEMA.empty_table(), tuple(config.event_weights)
    waiting: list[pa.Table] = []
    for rows in _interactions(config):
        waiting.append(rows)
        if sum(part.num_rows for part in waiting) > max(ROWS_AT_ONCE, known.num_rows):
            known, waiting = latest(pa.concat_tables([known, *waiting]), per_user, types, now), []
    return latest(pa.concat_tables([known, *waiting]), per_user, types, now)


def _interactions(config: DataConfig) -> Iterator[pa.Table]:
    for name, source in zip(source_names(config.every_source()), config.every_source(), strict=True):
        for part in accept(format_of(source).read(source), name, source.timezone):
            if isinstance(part, Accepted) and part.table == "interactions":
                yield part.rows.select(INTERACTION_SCHEMA.names)


def latest(events: pa.Table, per_user: int, types: tuple[str, ...], now: datetime) -> pa.Table:
    """Each user's latest `per_user` events of the known types up to `now`, in time order."""
    # Two sources may tell of the same event.
    events = events.filter(pa.array(~events.column(c.EVENT_ID).to_pandas().duplicated().to_numpy()))
    known = pc.is_in(events.column(c.TYPE), value_set=pa.array(types, pa.string()))
    past = pc.less_equal(events.column(c.TIMESTAMP), pa.scalar(now, pa.timestamp("us", tz="UTC")))
    events = events.filter(pc.and_(known, past)).sort_by([(c.TIMESTAMP, "ascending"), (c.EVENT_ID, "ascending")])
    users = events.column(c.USER_ID).to_pandas()
    from_the_end = users.groupby(users).cumcount(ascending=False)
    return events.filter(pa.array(from_the_end < per_user))
