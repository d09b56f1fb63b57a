"""What users did before the model server came: the source's latest events, put into the live store."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.ingest import read_source_data
from liverank.events import from_table
from liverank.progress import note, stage

if TYPE_CHECKING:
    from liverank.store import SqliteStore

RECORDS_AT_ONCE: Final = 5000


def backfill(config: DataConfig, store: SqliteStore, per_user: int, now: datetime) -> int:
    """Appends each user's latest `per_user` interactions of the source to the store and returns how many were new.

    Events of a type without a weight and events after `now` are left out: the server would refuse the first, and the
    second would stay every user's latest. Doing it again adds nothing.

    Raises:
        DataError: the source cannot be read.
    """
    events = latest(read_source_data(config).tables["interactions"], per_user, tuple(config.event_weights), now)
    new = 0
    with stage("fill the live store", total=events.num_rows) as progress:
        for start in range(0, events.num_rows, RECORDS_AT_ONCE):
            records = from_table(events.slice(start, RECORDS_AT_ONCE), "interactions")
            new += store.append(records)
            progress.advance(len(records))
    note(f"{new:,} of {events.num_rows:,} events are new in the live store.")
    return new


def latest(events: pa.Table, per_user: int, types: tuple[str, ...], now: datetime) -> pa.Table:
    """Each user's latest `per_user` events of the known types up to `now`, in time order."""
    known = pc.is_in(events.column(c.TYPE), value_set=pa.array(types, pa.string()))
    past = pc.less_equal(events.column(c.TIMESTAMP), pa.scalar(now, pa.timestamp("us", tz="UTC")))
    events = events.filter(pc.and_(known, past)).sort_by([(c.TIMESTAMP, "ascending"), (c.EVENT_ID, "ascending")])
    users = events.column(c.USER_ID).to_pandas()
    from_the_end = users.groupby(users).cumcount(ascending=False)
    return events.filter(pa.array(from_the_end < per_user))
