"""The parts of the event stream: which are missing, and how they are computed from their own days and what was kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from liverank import __version__
from liverank import columns as c
from liverank.config import DataConfig, FeatureConfig
from liverank.features import cooccurrence, definitions, parts, popularity, requests, stream
from liverank.features.definitions import DAY, DAY_MICROS, KNOWN, MICROS, day_of
from liverank.features.engine import Engine, F, Frame, between, staged, union
from liverank.features.part_files import PartFiles
from liverank.features.parts import Day, Part, PartStore

_SETTINGS = ("session_gap_minutes", "popularity_days", "view_types", "click_types", "purchase_types", "rate_strength",
             "cooccurrence_window", "cooccurrence_items", "part_events")  # fmt: skip


def cache_key(engine: Engine, config: FeatureConfig, data: DataConfig) -> str:
    """Changes with everything but the input that a part depends on: settings, engine, and this code."""
    folder = Path(__file__).parent
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))
    told = [__version__, code.hexdigest(), engine.name, data.event_weights, data.label_types]
    settings = {name: getattr(config, name) for name in _SETTINGS}
    return hashlib.sha256(json.dumps([*told, settings], sort_keys=True).encode()).hexdigest()


def event_columns(data: DataConfig) -> list[str]:
    """The columns of the events files, in order."""
    known = [c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.VALUE, c.WEIGHT, c.TIMESTAMP, c.KNOWN_AT]
    made = [c.SESSION, c.SESSION_START, c.GAP_SECONDS, c.HOUR, c.WEEKDAY, c.REPEATS, c.SINCE_ITEM_SECONDS]
    counts = [c.SEEN, *map(c.seen, data.event_weights)]
    return [*known, *made, *counts, c.IMPRESSION_ID, c.SESSION_ID]


class FeatureLog:
    """The event stream and the lists of a dataset, as parts in a store."""

    def __init__(
        self, engine: Engine, interactions: Frame, impressions: Frame, config: FeatureConfig, data: DataConfig
    ) -> None:
        self.engine, self.config, self.data = engine, config, data
        self.events = staged(definitions.prepared(interactions))
        self.impressions = staged(definitions.with_micros(impressions))
        self.types = list(data.event_weights)
        self.days: list[int] = []

    def plan(self) -> list[Part]:
        """The parts that this input has."""
        lists = (c.IMPRESSION_ID, c.USER_ID, MICROS, c.SURFACE, c.SHOWN)
        events = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.VALUE, c.IMPRESSION_ID, c.SESSION_ID, MICROS, KNOWN)
        told: dict[int, list[Any]] = {}
        for frame, at, names in ((self.events, KNOWN, events), (self.impressions, MICROS, lists)):
            for row in self._contents(frame, at, names).to_pylist():
                told.setdefault(row[DAY], []).append([at, row["rows"], row["content"]])
        days = [Day(day, sum(rows for _, rows, _ in one), json.dumps(one)) for day, one in told.items()]
        self.days = sorted(told)
        return parts.planned(days, self.config.part_events)

    def _contents(self, frame: Frame, at: str, names: Sequence[str]) -> pa.Table:
        hashed = frame.select(day_of(at).alias(DAY), self.engine.row_hash(names).alias("hash"))
        sums = hashed.groupBy(DAY).agg(
            F.count("*").cast("long").alias("rows"), F.sum("hash").cast("string").alias("content")
        )
        return self.engine.arrow(sums.orderBy(DAY))

    def write(self, store: PartStore, wanted: Sequence[Part], valid: int) -> None:
        """Computes the parts after the first `valid` ones and adds them to the store."""
        missing = wanted[valid:]
        if not missing:
            return
        start = missing[0].first
        kept = {kind: self._stored(store, kind, wanted[:valid]) for kind in parts.KINDS}
        fresh = self._fresh(self.events, c.EVENT_ID, kept[parts.EVENTS], KNOWN, start)
        lists = self._fresh(self.impressions, c.IMPRESSION_ID, kept[parts.REQUEST_KEYS], MICROS, start)
        counts = self.engine.kept(popularity.item_days(fresh, lists, self.config), "item days")
        keys = self._keys(lists, fresh, kept[parts.REQUEST_KEYS])
        files, by_item = PartFiles(self.engine, store, self.days, missing), (c.ITEM_ID, DAY)
        # These are written while the next ones are made: to put a query together takes one core, to compute it all.
        with ThreadPoolExecutor(1) as beside:
            begun = [
                beside.submit(files.prepared(parts.ITEM_DAYS, counts, DAY, by_item)),
                beside.submit(files.prepared(parts.REQUEST_KEYS, keys, DAY, (MICROS, c.REQUEST_ID))),
                beside.submit(
                    files.prepared(parts.TRAILING, self._trailing(fresh, counts, kept), popularity.ARRIVAL, by_item)
                ),
            ]
            events = self._features(fresh, kept[parts.EVENTS], start)
            files.prepared(parts.EVENTS, events, DAY, (c.USER_ID, c.TIMESTAMP, c.EVENT_ID))()
            for one in begun:
                one.result()
        pairs = self._pairs([store.path(parts.EVENTS, part) for part in missing], kept[parts.EVENTS])
        files.prepared(parts.PAIRS, pairs, DAY, (cooccurrence.ONE, cooccurrence.OTHER, DAY))()
        store.complete(wanted)

    def _stored(self, store: PartStore, kind: str, valid: Sequence[Part]) -> Frame | None:
        return self.engine.scan([store.path(kind, part) for part in valid]) if valid else None

    def _fresh(self, rows: Frame, identity: str, kept: Frame | None, at: str, start: int) -> Frame:
        """The rows known from the day `start` on, each id once, the first to arrive; without ids that are kept."""
        frame = rows
        if kept is not None:
            # What happened from the first of these days on arrived then or later; what happened before may have, too.
            frame = between(rows, start * DAY_MICROS) if at == MICROS else rows.where(F.col(at) >= start * DAY_MICROS)
        frame = staged(frame)
        again = definitions.repeated_ids(frame, identity)
        if kept is not None:
            name = identity if identity in kept.columns else c.REQUEST_ID
            old = kept.select(F.col(name).alias(identity)).join(frame.select(identity), identity, "leftsemi")
            old = self.engine.kept(old.distinct(), f"{identity} kept")
            frame = frame.join(old, identity, "leftanti") if old.limit(1).count() else frame
        again = self.engine.kept(again, f"{identity} again")
        if again.limit(1).count():
            order = [name for name in (at, MICROS, c.USER_ID, c.ITEM_ID, c.TYPE) if name in frame.columns]
            once = definitions.first_of_id(frame.join(again, identity, "leftsemi"), identity, *dict.fromkeys(order))
            frame = union(frame.join(again, identity, "leftanti"), once)
        return frame if kept is None and not again.limit(1).count() else self.engine.kept(frame, f"{identity} fresh")

    def _keys(self, lists: Frame, fresh: Frame, kept: Frame | None) -> Frame:
        found = requests.keys(lists, fresh, self.data.label_types)
        return found if kept is None else found.join(kept.select(c.REQUEST_ID), c.REQUEST_ID, "leftanti")

    def _features(self, fresh: Frame, log: Frame | None, start: int) -> Frame:
        users, pairs = self._past(fresh, log, start)
        told = staged(stream.with_past(fresh, users, pairs, self.types))
        told = definitions.weights(definitions.context(told), self.data.event_weights)
        told = told.withColumn(DAY, day_of(KNOWN)).withColumn(c.KNOWN_AT, self.engine.instant(KNOWN))
        return told.select(*event_columns(self.data), DAY)

    def _past(self, fresh: Frame, log: Frame | None, start: int) -> tuple[Frame, Frame]:
        """What was known of users, and of users and items, at the instants of the fresh events."""
        names = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.SESSION_ID, MICROS, KNOWN)
        rows = fresh.select(*names)
        if log is None:
            users = stream.of_events(self.engine, rows, self.types)
            pairs = stream.of_item_events(rows)
        else:
            before = start * DAY_MICROS
            log = staged(with_instants(log))
            late = self.engine.kept(fresh.where(F.col(MICROS) < before).select(c.USER_ID).distinct(), "late users")
            # Whoever has an event from before these days is replayed from the first event on; the others stand on sums.
            rows = union(rows, log.join(late, c.USER_ID, "leftsemi").select(*names))
            settled = staged(log.join(late, c.USER_ID, "leftanti"))
            of_users = settled.join(fresh.select(c.USER_ID), c.USER_ID, "leftsemi")
            of_pairs = settled.join(fresh.select(c.USER_ID, c.ITEM_ID), [c.USER_ID, c.ITEM_ID], "leftsemi")
            users = union(
                stream.of_events(self.engine, rows, self.types), stream.of_users(of_users, self.types, before)
            )
            pairs = union(stream.of_item_events(rows), stream.of_pairs(of_pairs, before))
        users = stream.past_of_users(staged(users), self.types, self.config.session_gap_minutes)
        # Each sort has the memory for itself.
        pairs = stream.past_of_pairs(staged(pairs))
        return self.engine.kept(users, "users"), self.engine.kept(pairs, "users and items")

    def _trailing(self, fresh: Frame, counts: Frame, kept: dict[str, Frame | None]) -> Frame:
        asked = fresh.groupBy(c.ITEM_ID, day_of(MICROS).alias(DAY)).agg(day_of(KNOWN, F.min).alias(popularity.ARRIVAL))
        told = kept[parts.TRAILING]
        if told is not None:
            asked = asked.join(told.select(c.ITEM_ID, DAY), [c.ITEM_ID, DAY], "leftanti")
        asked = self.engine.kept(asked, "asked")
        old = kept[parts.ITEM_DAYS]
        if old is not None:
            first = asked.agg(F.min(DAY)).collect()[0][0]
            since = (0 if first is None else first) - max(self.config.popularity_days, default=0)
            counts = union(counts, old.where(F.col(DAY) >= since).select(*counts.columns))
        return popularity.trailing(counts, asked, self.config.popularity_days, self.config.rate_strength)

    def _pairs(self, fresh: Sequence[Path], log: Frame | None) -> Frame:
        new = staged(with_instants(self.engine.scan(fresh)))
        old = None if log is None else staged(with_instants(log))
        pairs = cooccurrence.partial_pairs(self.engine, new, old, self.config.cooccurrence_window)
        return pairs if self.config.cooccurrence_items else pairs.limit(0)


def with_instants(events: Frame) -> Frame:
    """Adds `micros` and `known` to rows of the events files."""
    return events.withColumns({MICROS: F.unix_micros(F.col(c.TIMESTAMP)), KNOWN: F.unix_micros(F.col(c.KNOWN_AT))})
