"""The features of candidates as training makes them of a live log: the frames of `candidates` on DuckDB.

What only the model version knows (similarities, hours, the days before its data ended, the words of its settings) comes
from its snapshot; histories, later days and items come from the log, by the definitions of the features step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.log_pages import ARRIVED, Arrivals, instant, pages, rows_of, with_arrivals
from liverank.events import Impression, Interaction, Item, Record, to_table
from liverank.features import candidates, definitions, popularity, requests
from liverank.features.candidate_features import SIMILARITIES, TOGETHER
from liverank.features.candidate_lines import DEVICE
from liverank.features.candidate_table import matrix
from liverank.features.daily import DAY_SECONDS, day_of
from liverank.features.definitions import DAY, MICROS
from liverank.features.engine import Engine, F, Frame, union
from liverank.features.requests import ROW
from liverank.features.snapshot import Snapshot
from liverank.features.snapshot_tables import days_table, hours_table, items_table, neighbours_table

if TYPE_CHECKING:
    from liverank.ranking.feature_ranker import FeatureRanker

_INSTANT: Final = pa.timestamp("us", tz="UTC")
MEANWHILE_SECONDS: Final = 60.0
"""Before an impression came into the log: what arrived within, its ranking may or may not have read."""


class LiveLog(Arrivals, Protocol):
    """What the frames read of a live store."""

    def user_arrivals(self, user_id: str) -> list[tuple[int, float, Record]]:
        """A user's records in arrival order, with cursor and epoch seconds of arrival."""
        ...

    def cursor(self) -> int:
        """Cursor of the latest record ever written."""
        ...

    def cursor_before(self, arrived: float) -> int:
        """A cursor before the first record that arrived at that time or later."""
        ...

    def items(self) -> list[Item]:
        """The latest version of every item."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A candidate of one of the impressions."""

    row: int
    """Place of the impression among those that are asked for."""
    place: int
    item_id: str
    score: float | None
    """As it came in."""


@dataclass(frozen=True)
class Expected:
    """What training makes of the log, and what tells why serving used something else."""

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """`[lines, features]`."""
    histories: list[frozenset[str]]
    """Items of the history of each impression."""
    heard: list[float]
    """Epoch seconds at which each impression came into the log."""
    new_items: Mapping[str, float]
    """Items whose latest record came since about the first impression -> epoch seconds of its arrival."""
    since: int
    """Cursor from which on the log was read for items and days."""
    lost: int
    """Records that were there behind that cursor and are no longer, at most."""
    counted: bool
    """Whether the live days were counted; else the trailing windows say nothing."""


class LiveFrames:
    """One model version, one log; `folder` takes working files."""

    def __init__(self, engine: Engine, log: LiveLog, ranker: FeatureRanker, folder: Path) -> None:
        self.engine, self.log, self.folder = engine, log, folder
        items = log.items()
        index = dict(ranker.catalogue.index)
        for item in items:
            index.setdefault(item.item_id, len(index))
        self.index, self.item_ids = index, list(index)
        self.snapshot: Snapshot = ranker.snapshot.with_items(items, index)

    def expected(self, impressions: Sequence[Impression], lines: Sequence[Line], most_records: int | None) -> Expected:
        """The features of these lines, which are sorted by row and place.

        Args:
            impressions: all with a record in the log.
            lines: at least one an impression.
            most_records: records of the log beyond which the days are not counted; None: any number is.
        """
        settings = self.snapshot.settings
        users = {user: self.log.user_arrivals(user) for user in dict.fromkeys(one.user_id for one in impressions)}
        heard = [_heard(one, users[one.user_id]) for one in impressions]
        asked = _requests(impressions, settings.device_key)
        history = self._histories(asked, users)
        had = _items_of(history, len(impressions))
        since, counted = self._start(impressions, min(heard), most_records)
        files, new_items, held = self._read(since)
        known = {line.item_id for line in lines}.union(*had)
        raw = candidates.candidate_rows(
            self.engine.rows(_lines(lines)),
            self.engine.rows(asked.drop_columns([c.USER_ID])),
            self.engine.rows(history),
            self._items(known),
            self._days(files if counted else []),
            self.engine.rows(hours_table(self.snapshot)),
            self._near(TOGETHER, had),
            self._near("similar", had),
            settings,
        )
        names = tuple(feature.name for feature in settings.features)
        values = matrix(self.engine.arrow(raw), list(names))
        return Expected(names, values, had, heard, new_items, since, self.log.cursor() - since - held, counted)

    def _histories(self, asked: pa.Table, users: Mapping[str, list[tuple[int, float, Record]]]) -> pa.Table:
        entries = [entry for held in users.values() for entry in held if isinstance(entry[2], Interaction)]
        table = to_table([record for _, _, record in entries], "interactions")
        table = with_arrivals(table, pa.array([instant(arrived) for _, arrived, _ in entries], _INSTANT))
        events = definitions.prepared(self.engine.rows(table))
        length = self.snapshot.settings.history_length
        known = requests.known_before(self.engine.rows(asked), events, length)
        return self.engine.arrow(requests.histories(known, length)).select([ROW, c.ITEM_ID, MICROS])

    def _start(self, impressions: Sequence[Impression], first: float, most_records: int | None) -> tuple[int, bool]:
        """The cursor to read from, and whether all days that count are behind it."""
        settings = self.snapshot.settings
        days = [day_of(one.timestamp.timestamp()) for one in impressions]
        near = self.log.cursor_before(first - MEANWHILE_SECONDS)
        oldest = max(settings.counted_until, min(days) - max(settings.days, default=0))
        if oldest >= max(days):
            return near, True
        # A day sooner, as serving does: a record may be dated a little after its arrival.
        since = self.log.cursor_before((oldest - 1) * DAY_SECONDS)
        if most_records is not None and self.log.cursor() - since > most_records:
            return near, False
        return min(since, near), True

    def _read(self, since: int) -> tuple[list[tuple[Path, Path]], dict[str, float], int]:
        """Files of events and lists of the log behind a cursor, when its items arrived, and the number of records."""
        files: list[tuple[Path, Path]] = []
        items: dict[str, float] = {}
        held = 0
        for number, page in enumerate(pages(self.log, since)):
            pair = self.folder / f"events-{number}.parquet", self.folder / f"lists-{number}.parquet"
            pq.write_table(rows_of(page, "interactions").drop_columns([c.CONTEXT]), pair[0])
            pq.write_table(rows_of(page, "impressions").select([c.IMPRESSION_ID, c.TIMESTAMP, c.SHOWN]), pair[1])
            files.append(pair)
            held += page.num_rows
            told = page.filter(pc.is_valid(page["items"]))
            ids = pc.struct_field(told["items"], [c.ITEM_ID]).to_pylist()
            items |= dict(zip(ids, (at.timestamp() for at in told[ARRIVED].to_pylist()), strict=True))
        return files, items, held

    def _days(self, files: Sequence[tuple[Path, Path]]) -> Frame:
        """The snapshot's days, and those behind them from the log."""
        settings = self.snapshot.settings
        known = self.engine.rows(days_table(self.snapshot.daily, self.item_ids))
        known = known.where(F.col(DAY) < settings.counted_until)
        if not files:
            return known
        events = definitions.prepared(self.engine.scan([events for events, _ in files]))
        lists = definitions.with_micros(self.engine.scan([lists for _, lists in files]))
        live = popularity.item_days(events, lists, settings).where(F.col(DAY) >= settings.counted_until)
        return self.engine.kept(union(known, live.select(*known.columns)), "days")

    def _items(self, wanted: Iterable[str]) -> Frame:
        return self.engine.rows(items_table(self.snapshot, self.item_ids, self._rows(wanted)))

    def _near(self, name: str, had: Sequence[frozenset[str]]) -> Frame:
        measures = (TOGETHER,) if name == TOGETHER else SIMILARITIES
        rows = self._rows(frozenset().union(*had))
        return self.engine.rows(neighbours_table(getattr(self.snapshot, name), measures, self.item_ids, rows))

    def _rows(self, wanted: Iterable[str]) -> npt.NDArray[np.int64]:
        return np.asarray(sorted(self.index[item] for item in wanted if item in self.index), np.int64)


def _heard(impression: Impression, held: Sequence[tuple[int, float, Record]]) -> float:
    """When the impression came into the log; its own time where its user was erased meanwhile."""
    for _, arrived, record in held:
        if isinstance(record, Impression) and record.impression_id == impression.impression_id:
            return arrived
    return impression.timestamp.timestamp()


def _requests(impressions: Sequence[Impression], device_key: str) -> pa.Table:
    """row, user_id, micros, surface, device."""
    return pa.table(
        {
            ROW: np.arange(len(impressions)),
            c.USER_ID: pa.array([one.user_id for one in impressions], pa.string()),
            MICROS: pa.array([one.timestamp for one in impressions], _INSTANT).cast(pa.int64()),
            c.SURFACE: pa.array([one.surface for one in impressions], pa.string()),
            DEVICE: pa.array([one.context.get(device_key, "") for one in impressions], pa.string()),
        }
    )


def _lines(lines: Sequence[Line]) -> pa.Table:
    """row, place, item_id, score; in the precision in which rankers and the files of requests have scores."""
    return pa.table(
        {
            ROW: np.asarray([line.row for line in lines], np.int64),
            c.PLACE: np.asarray([line.place for line in lines], np.int64),
            c.ITEM_ID: pa.array([line.item_id for line in lines], pa.string()),
            c.SCORE: pa.array([line.score for line in lines], pa.float64()).cast(pa.float32()).cast(pa.float64()),
        }
    )


def _items_of(history: pa.Table, size: int) -> list[frozenset[str]]:
    bounds = np.searchsorted(history[ROW].to_numpy(), np.arange(size + 1)).tolist()
    items = history[c.ITEM_ID].to_pylist()
    return [frozenset(items[start:end]) for start, end in pairwise(bounds)]
