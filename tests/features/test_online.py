"""Offline and online give the same numbers: the log replayed through the real store against the table of the frames."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig
from liverank.data.ingest import ingest
from liverank.events import Impression, Interaction, Item, ShownItem
from liverank.features.daily import DailyCounts, day_of
from liverank.features.online import OnlineFeatures
from liverank.features.popularity import trailing_columns
from liverank.features.snapshot import DailyRows, Snapshot
from liverank.ranking.data import LabelledRequest, load_catalogue, load_requests
from liverank.ranking.protocol import Candidates, Request
from liverank.store import open_store
from serving.following import LogFollower
from tests.conftest import real_data
from tests.features.conftest import START, at, build, event, write

HOURS = 24 * 25
STRANGER = "i-nobody-knows"


def items() -> list[Item]:
    """Some with a price, some without a category, some from a later day on."""
    return [
        Item(
            item_id=f"i{n:02d}",
            title=f"Item {n}",
            category=("", "a", "b", "c")[n % 4],
            attributes={"price": f"{n * 1.5}"} if n % 3 else {"price": "much"},
            available_from=at(24.0 * n) if n % 5 == 0 else None,
        )
        for n in range(40)
    ]


def traffic(seed: int) -> tuple[list[Interaction], list[Impression]]:
    """Lists with answers, free events, baskets, and every eighth event late by up to two days."""
    rng = random.Random(seed)
    events: list[Interaction] = []
    lists: list[Impression] = []
    for n in range(1000):
        user, hour = f"u{rng.randrange(10)}", rng.random() * HOURS
        item = f"i{min(int(rng.expovariate(0.12)), 39):02d}"
        late = at(hour) + timedelta(hours=rng.random() * 48) if n % 8 == 0 else None
        kind = rng.choice(["view", "click", "purchase"])
        events.append(event(f"e{n:04d}", user, item, hour, kind, received_at=late))
        if n % 9 == 0:
            events.append(event(f"t{n:04d}", user, f"i{rng.randrange(40):02d}", hour, "purchase"))
        if n % 3 == 0:
            lists.append(a_list(rng, n, user, hour + 0.01))
            answered = rng.choice(lists[-1].shown).item_id
            if answered != STRANGER:
                events.append(
                    event(f"a{n:04d}", user, answered, hour + 0.02, "click", impression_id=lists[-1].impression_id)
                )
    return events, lists


def a_list(rng: random.Random, number: int, user: str, hour: float) -> Impression:
    names = [f"i{n:02d}" for n in rng.sample(range(40), 12)] + [STRANGER]
    order = rng.sample(range(13), 13)
    scored = number % 2 == 0
    shown = [
        ShownItem(
            item_id=names[place],
            position=position + 1,
            incoming_position=place + 1,
            incoming_score=13.0 - place if scored else None,
        )
        for position, place in enumerate(order)
    ]
    context = {"device": rng.choice(["phone", "desktop"])} if number % 4 else {}
    surface = rng.choice(["home", "search", ""])
    return Impression(
        impression_id=f"p{number:04d}", user_id=user, timestamp=at(hour), shown=shown, surface=surface, context=context
    )


@dataclass
class Offline:
    """A features folder with the table of the frames."""

    folder: Path
    snapshot: Snapshot
    names: list[str]
    rows: dict[str, npt.NDArray[np.float32]]
    """Request id -> `[candidates, features]`."""

    @property
    def cuts_from(self) -> float:
        """Epoch seconds from which requests are judged: the days that serving has to know begin before."""
        told = json.loads((self.folder / "split.json").read_text())
        return datetime.fromisoformat(told["validation_from"]).timestamp()

    def requests(self, *splits: str) -> list[LabelledRequest]:
        return [one for split in splits for one in load_requests(self.folder, split)]


def offline(folder: Path) -> Offline:
    snapshot = Snapshot.load(folder / "snapshot")
    names = [feature.name for feature in snapshot.settings.features]
    table = pq.read_table(folder / "candidates.parquet")
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    ids = pq.read_table(folder / "requests.parquet", columns=["request_id"])["request_id"].to_pylist()
    bounds = np.searchsorted(table["row"].to_numpy(), np.arange(len(ids) + 1))
    return Offline(folder, snapshot, names, {name: values[bounds[n] : bounds[n + 1]] for n, name in enumerate(ids)})


@pytest.fixture(scope="module")
def log() -> tuple[list[Interaction], list[Impression]]:
    return traffic(5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, log: tuple[list[Interaction], list[Impression]]) -> Offline:
    folder = tmp_path_factory.mktemp("offline")
    dataset = write(folder / "data", log[0], log[1], items())
    config = {"table": True, "neighbours": 10, "last_steps": 4}
    return offline(
        build(dataset, folder / "out", history_length=20, popularity_days=(1, 3, 7), candidate=config).folder
    )


def arrivals(events: list[Interaction], lists: list[Impression]) -> Iterator[tuple[float, Interaction | Impression]]:
    """Both in the order in which a server hears of them."""
    heard = [((one.received_at or one.timestamp).timestamp(), 0, one.event_id, one) for one in events]
    shown = [(one.timestamp.timestamp(), 1, one.impression_id, one) for one in lists]
    return ((when, record) for when, _, _, record in sorted([*heard, *shown], key=lambda entry: entry[:3]))


def test_a_replay_through_the_store_gives_what_the_frames_gave(
    made: Offline, log: tuple[list[Interaction], list[Impression]], tmp_path: Path
) -> None:
    asked = {one.request_id: one for one in made.requests("validation", "test")}
    # As if the model had been made when the training time ended: all later days come from the live log.
    day = day_of(START.timestamp()) + 20
    early = made.snapshot.daily.day < day
    daily = DailyRows(
        *(column[early] for column in (made.snapshot.daily.day, made.snapshot.daily.item, made.snapshot.daily.counts))
    )
    settings = replace(made.snapshot.settings, counted_until=day)
    snapshot = replace(made.snapshot, daily=daily, settings=settings)
    counts = DailyCounts(settings, daily)
    online = OnlineFeatures(snapshot, load_catalogue(made.folder).index, counts)
    clock = [0.0]
    store = open_store(tmp_path / "live.db", lambda: clock[0])
    follower = LogFollower(store, counts)
    compared, late = 0, set()
    for when, record in arrivals(*log):
        clock[0] = when
        if isinstance(record, Interaction):
            late |= {record.user_id} if record.received_at else set()
            record = replace_arrival(record)
        elif record.impression_id in asked and day_of(when) >= day:
            request = asked[record.impression_id].request
            follower.reach(request.context.timestamp)
            history = store.history(request.user_id, 20, request.context.timestamp)
            seen = online.scaled(replace(request, history=history))
            assert_equal(seen, made.rows[record.impression_id], made.names)
            compared += record.user_id in late
        store.append([record])
    follower.close()
    store.close()
    assert compared > 40


def replace_arrival(record: Interaction) -> Interaction:
    """As a client sends it: it does not know when the server hears of it."""
    import msgspec

    return msgspec.structs.replace(record, received_at=None)


def assert_equal(seen: npt.NDArray[np.float32], expected: npt.NDArray[np.float32], names: list[str]) -> None:
    differing = [names[at] for at in np.flatnonzero((seen != expected).any(axis=0))]
    assert not differing
    assert seen.dtype == expected.dtype == np.float32


def test_a_candidates_windows_are_those_of_the_files_of_past_days(made: Offline) -> None:
    """One definition: whoever learns from `trailing/` and whoever ranks candidates mean the same by these columns."""
    names = trailing_columns(made.snapshot.settings.days)
    assert made.names[: len(names)] == names
    past = {(row["item_id"], row["day"]): row for row in pq.read_table(made.folder / "trailing").to_pylist()}
    online = OnlineFeatures(made.snapshot, load_catalogue(made.folder).index)
    compared = 0
    for one in made.requests("train", "validation", "test"):
        day, raw = day_of(one.request.context.timestamp), online.raw(one.request)
        for place, item in enumerate(one.request.candidates.item_ids):
            if (told := past.get((item, day))) is None:
                continue
            expected = raw[place].copy()
            expected[: len(names)] = [told[name] for name in names]
            scaled = made.snapshot.scaling.apply(expected[None])[0, : len(names)]
            assert scaled.tolist() == made.rows[one.request_id][place, : len(names)].tolist()
            if day_of(made.cuts_from) <= day < made.snapshot.settings.counted_until:
                assert (raw[place] == expected).all()
                compared += 1
    assert compared > 100


def test_views_without_a_list_are_shown_and_strangers_count_among_all(made: Offline) -> None:
    """By hand: what one item and all items were, shown and met on a day, on serving's side."""
    settings = replace(made.snapshot.settings, days=(1,), counted_until=0, rate_strength=2.0)
    counts = DailyCounts(settings, _no_days())
    line = [ShownItem(item_id=item, position=place + 1) for place, item in enumerate(["i00", "i01", STRANGER])]
    shown = Impression(impression_id="p", user_id="u", timestamp=at(1), shown=line)
    records = [
        shown,
        Impression(impression_id="nothing", user_id="u", timestamp=at(24.5), shown=[]),
        event("e1", "u", "i00", 2, "view"),
        event("e2", "u", "i00", 3, "view", impression_id="p"),
        event("e3", "u", "i00", 4, "click", impression_id="p"),
        event("e4", "u", STRANGER, 5, "click"),
        event("e5", "u", "i01", 6, "purchase"),
        event("e6", "u", "i01", 6, "rating"),
    ]
    for record in records:
        counts.add(record, record.timestamp.timestamp())
    day = day_of(START.timestamp()) + 1
    assert counts.table(day + 1, {}).tolist() == [[[0, 0, 0, 0]]]
    # events, shown, clicks, purchases of i00, i01 and all
    assert counts.table(day, {"i00": 0, "i01": 1})[:, 0].tolist() == [[3, 2, 1, 0], [2, 1, 0, 1], [6, 4, 2, 1]]
    index = load_catalogue(made.folder).index
    online = OnlineFeatures(replace(made.snapshot, settings=settings), index, counts)
    request = replace(made.requests("test")[0].request, candidates=Candidates(["i00", "i01", STRANGER]))
    request = replace(request, context=replace(request.context, timestamp=at(30).timestamp()))
    # s = 2, r = 2/4 clicks and 1/4 purchases a time shown
    assert online.raw(request)[:, :4].tolist() == [
        [3, 2, (1 + 2 * 0.5) / 4, 2 * 0.25 / 4],
        [2, 1, 2 * 0.5 / 3, (1 + 2 * 0.25) / 3],
        [0, 0, 0.5, 0.25],
    ]


def test_the_columns_say_something(made: Offline) -> None:
    values = np.concatenate(list(made.rows.values()))
    constant = {name for name, spread in zip(made.names, values.std(axis=0), strict=True) if spread == 0}
    assert constant == set()


def test_late_events_count_from_their_arrival_on(
    made: Offline, log: tuple[list[Interaction], list[Impression]]
) -> None:
    first = max((one for one in log[0] if one.received_at), key=lambda one: one.received_at or one.timestamp)
    assert first.received_at is not None
    counts = DailyCounts(replace(made.snapshot.settings, counted_until=0), _no_days())
    counts.add(replace_arrival(first), first.received_at.timestamp())
    arrived = day_of(first.received_at.timestamp())
    assert counts.table(arrived, {first.item_id: 0}).sum() == 0
    assert counts.table(arrived + 1, {first.item_id: 0})[0, :, 0].tolist() == [1, 1, 1]
    assert counts.table(arrived + 3, {first.item_id: 0})[0, :, 0].tolist() == [0, 1, 1]


def test_no_record_is_lost_to_a_clock_that_went_back(made: Offline, tmp_path: Path) -> None:
    days = [100] * 20 + [103] * 5 + [101] * 3 + [99] * 60 + [104] * 10
    clock = [0.0]
    store = open_store(tmp_path / "live.db", lambda: clock[0])
    for number, day in enumerate(days):
        clock[0] = day * 86400.0 + number
        moment = datetime.fromtimestamp(clock[0], UTC)
        store.append([Interaction(event_id=f"e{number}", user_id="u", item_id="i", type="click", timestamp=moment)])
    counts = DailyCounts(replace(made.snapshot.settings, days=(7,), counted_until=101), _no_days())
    LogFollower(store, counts).close()
    assert counts.table(105, {"i": 0})[0, 0, 0] == 5 + 3 + 10
    store.close()


def test_a_record_dated_over_midnight_counts_on_the_later_day(made: Offline, tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db", lambda: 101 * 86400 - 5.0)
    moment = datetime.fromtimestamp(101 * 86400 + 5, UTC)
    store.append([Interaction(event_id="e", user_id="u", item_id="i", type="click", timestamp=moment)])
    counts = DailyCounts(replace(made.snapshot.settings, days=(7,), counted_until=101), _no_days())
    LogFollower(store, counts).close()
    assert counts.table(102, {"i": 0})[0, 0, 0] == 1
    store.close()


def _no_days() -> DailyRows:
    return DailyRows(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 4), np.int32))


def test_an_arrival_dated_ahead_leaves_the_live_days_counted(tmp_path: Path) -> None:
    """One wrong clock must not have the model wait for a day to come: what happens tomorrow counts tomorrow."""
    events = [event(f"e{n:03d}", f"u{n % 3}", f"i{n % 9:02d}", n) for n in range(240)]
    events.append(event("ahead", "u1", "i01", 200, received_at=at(24.0 * 400)))
    built = build(write(tmp_path / "data", events), tmp_path / "out", candidate={"table": True}, popularity_days=(1, 3))
    snapshot = Snapshot.load(built.folder / "snapshot")
    first = day_of(START.timestamp())
    assert snapshot.settings.counted_until == first + 9  # the last event happened in hour 239
    counts = DailyCounts(snapshot.settings, snapshot.daily)
    counts.add(event("live", "u1", "i01", 24 * 10 + 5), at(24 * 10 + 5).timestamp())
    index = load_catalogue(built.folder).index
    assert counts.table(first + 11, index)[index["i01"], 0, 0] == 1  # the live one alone
    assert counts.table(first + 9, index)[index["i01"], 0, 0] == 2  # e199 and e208, of the snapshot


def test_counts_that_nobody_asks_for_any_more_are_forgotten(made: Offline) -> None:
    counts = DailyCounts(replace(made.snapshot.settings, counted_until=0), _no_days())
    counts.add(event("e", "u", "i00", 0), START.timestamp())
    day = day_of(START.timestamp())
    assert counts.table(day + 7, {"i00": 0})[0, :, 0].tolist() == [0, 0, 1]
    counts.forget_before(day + 7)
    assert counts.table(day + 6, {"i00": 0})[0, :, 0].tolist() == [0, 0, 1]
    counts.forget_before(day + 8)
    assert counts.table(day + 5, {"i00": 0}).sum() == 0


def test_events_that_are_not_before_the_request_are_not_seen(made: Offline) -> None:
    index = load_catalogue(made.folder).index
    online = OnlineFeatures(made.snapshot, index)
    request = made.requests("test")[0].request
    past = request.history
    more = type(past)([*past.item_ids, "i00"], [*past.types, "click"], [*past.timestamps, request.context.timestamp])
    assert (online.raw(request) == online.raw(replace(request, history=more))).all()


def test_new_items_get_category_price_and_age(made: Offline) -> None:
    catalogue = load_catalogue(made.folder)
    new = Item(item_id="new", category="a", attributes={"price": "1"}, available_from=at(0))
    grown, _ = catalogue.with_items([new])
    online = OnlineFeatures(made.snapshot.with_items([new], grown.index), grown.index)
    request = replace(made.requests("test")[0].request, candidates=Candidates(["new", "i00"]))
    row = dict(zip(made.names, online.raw(request)[0], strict=True))
    assert (row["price_known"], row["age_known"]) == (1, 1)
    assert row["age_days"] == pytest.approx((request.context.timestamp - START.timestamp()) / 86400)
    old = OnlineFeatures(made.snapshot, catalogue.index).raw(request)
    assert (online.raw(request)[1] == old[1]).all()


def test_a_request_alone_and_an_empty_one(made: Offline) -> None:
    online = OnlineFeatures(made.snapshot, load_catalogue(made.folder).index)
    request = made.requests("test")[0].request
    one = online.scaled(replace(request, candidates=Candidates(request.candidates.item_ids[:1])))
    assert (one[0][:-3] == online.scaled(replace(request, candidates=replace_scores(request)))[0][:-3]).all()
    assert online.scaled(replace(request, candidates=Candidates(()))).shape == (0, len(made.names))
    assert np.isfinite(online.scaled(Request(type(request.history)(), request.candidates, request.context))).all()


def replace_scores(request: Request) -> Candidates:
    return Candidates(request.candidates.item_ids)


def test_a_snapshot_comes_back_from_disk_as_it_was(made: Offline, tmp_path: Path) -> None:
    made.snapshot.save(tmp_path)
    again = Snapshot.load(tmp_path)
    assert again.settings == made.snapshot.settings
    index = load_catalogue(made.folder).index
    for one in made.requests("test")[:20]:
        before, after = (OnlineFeatures(snapshot, index).scaled(one.request) for snapshot in (made.snapshot, again))
        assert (before == after).all()


def test_real_baskets_are_equal_too(tmp_path: Path) -> None:
    source = real_data("uci-online-retail/online_retail.parquet")
    ingest(DataConfig(source=str(source)), tmp_path / "data", None)
    config = {"table": True, "max_profile": 20, "neighbours": 20}
    built = build(tmp_path / "data", tmp_path / "out", max_requests=100, candidates=50, candidate=config)
    made = offline(built.folder)
    online = OnlineFeatures(made.snapshot, load_catalogue(made.folder).index)
    requests = made.requests("validation", "test")
    assert len(requests) == 200
    for one in requests:
        assert_equal(online.scaled(one.request), made.rows[one.request_id], made.names)
