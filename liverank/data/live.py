"""The live store's log as parts of a source: landed page by page where there is a workspace, else read as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.landing import Landing
from liverank.data.log_landing import land_log, tell_of_trimmed
from liverank.data.log_pages import SCHEMA, SEQUENCE, pages, rows_of
from liverank.data.sources.parts import BATCH_ROWS, Batch, Parts
from liverank.events import ARROW_SCHEMAS

ORIGIN: Final = "live store"
KEYS: Final = {"items": c.ITEM_ID, "users": c.USER_ID, "impressions": c.IMPRESSION_ID, "interactions": c.EVENT_ID}
"""Table name -> the id that makes its records unique."""
VERSIONED: Final = ("items", "users")
"""Tables of which the latest version of a record counts."""


def live_parts(config: DataConfig, workspace: Path | None = None) -> Parts:
    """The records of `config.live_store`, each once; of an item or user only the latest version.

    With a workspace, what the log has gained since the last run is landed in `workspace/landing/live`, erased users are
    taken out of what was landed before, and the landing is read. Without one, the whole log is read. Either way no more
    than one segment of events is in memory, next to the items and users.

    Raises:
        DataError: the store cannot be opened, or the landing is damaged or cannot be written.
    """
    from liverank.store import open_store

    with closing(open_store(config.live_store)) as store:
        if workspace is None:
            tell_of_trimmed(store, 0)
            yield from _parts(pages(store, 0))
            return
        landing = Landing(workspace / "landing" / "live", SCHEMA)
        with landing.writing():
            land_log(store, landing)
        with landing.reading():
            yield from _parts(landing.read(segment) for segment in landing.segments())


def _parts(log: Iterator[pa.Table]) -> Parts:
    """Events as they come, then the latest version of each item and user."""
    versions = {name: Versions(key) for name, key in KEYS.items() if name in VERSIONED}
    for page in log:
        for name, schema in ARROW_SCHEMAS.items():
            rows = rows_of(page, name)
            if name in versions:
                versions[name].add(rows)
            elif rows.num_rows:
                yield Batch(name, rows.drop_columns([SEQUENCE]).cast(schema), ORIGIN)
    for name, known in versions.items():
        if known.rows:
            yield Batch(name, known.latest().drop_columns([SEQUENCE]).cast(ARROW_SCHEMAS[name]), ORIGIN)


@dataclass
class Versions:
    """Items or users as a log tells them; holds no more than about twice the number of different ones."""

    key: str
    tables: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    limit: int = BATCH_ROWS

    def add(self, rows: pa.Table) -> None:
        """More versions, each with its sequence."""
        self.tables.append(rows)
        self.rows += rows.num_rows
        if self.rows > self.limit:
            self.tables = [self.latest()]
            self.rows = self.tables[0].num_rows
            self.limit = 2 * self.rows + BATCH_ROWS

    def latest(self) -> pa.Table:
        """The version of each with the highest sequence, in the log's order."""
        known = pa.concat_tables(self.tables)
        last = known.group_by(self.key).aggregate([(SEQUENCE, "max")])[f"{SEQUENCE}_max"]
        return known.filter(pc.is_in(known[SEQUENCE], last.combine_chunks()))
