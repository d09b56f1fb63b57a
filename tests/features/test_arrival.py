"""Late events: nothing that came before their arrival knows of them. Against brute force."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverank.config import DataConfig, FeatureConfig
from liverank.events import Impression, Interaction
from tests.features.conftest import START, Built, at, build, event, shown, write

TAIL = [event(f"z{n}", "z", "i29", 24 * 90 + n) for n in range(6)]
"""Later requests of another user and item, so that the split has something to cut."""


def late_events(count: int, seed: int, late: float = 0.3) -> list[Interaction]:
    """Events of a few users on a coarse clock; some arrive hours or days after they happened."""
    rng = random.Random(seed)
    events = []
    for n in range(count):
        hour = rng.randrange(24 * 8) / 2
        delay = rng.choice([0.5, 3, 24, 60]) if rng.random() < late else None
        more: dict[str, Any] = {} if delay is None else {"received_at": at(hour + delay)}
        if rng.random() < 0.2:
            more["session_id"] = f"s{rng.randrange(3)}"
        kind = rng.choice(["view", "click", "purchase"])
        events.append(event(f"e{n:03d}", f"u{rng.randrange(4)}", f"i{rng.randrange(8):02d}", hour, kind, **more))
    return events


def known(one: Interaction) -> Any:
    """When an event is known from."""
    return max(one.timestamp, one.received_at or one.timestamp)


def seconds(later: Any, earlier: Any) -> float:
    return (later - earlier) / timedelta(seconds=1)


def check_events(built: Built, events: list[Interaction], lists: list[Impression], config: FeatureConfig) -> None:
    """Every feature of every event that is no session, from its definition."""
    rows = built.events()
    for one in events:
        row = rows[one.event_id]
        past = [other for other in events if other.user_id == one.user_id and known(other) < one.timestamp]
        same = [other for other in past if other.item_id == one.item_id]
        assert row["seen"] == len(past)
        for kind in DataConfig().event_weights:
            assert row[f"seen_{kind}"] == sum(other.type == kind for other in past)
        assert row["repeats"] == len(same)
        assert row["gap_seconds"] == (seconds(one.timestamp, max(p.timestamp for p in past)) if past else None)
        assert row["since_item_seconds"] == (seconds(one.timestamp, max(p.timestamp for p in same)) if same else None)
        check_windows(row, one, events, lists, config)


def check_windows(
    row: dict[str, Any], one: Interaction, events: list[Interaction], lists: list[Impression], config: FeatureConfig
) -> None:
    """The trailing windows of an event's item, recounted."""
    day = (one.timestamp - START) // timedelta(days=1)
    for width in config.popularity_days:
        window = [other for other in events if day - width <= (known(other) - START) // timedelta(days=1) < day]
        lines = [
            line for a in lists if day - width <= (a.timestamp - START) // timedelta(days=1) < day for line in a.shown
        ]

        def counts(item: str | None, window: list[Interaction] = window, lines: list[Any] = lines) -> list[int]:
            mine = [other for other in window if item is None or other.item_id == item]
            views = sum(other.type == "view" and other.impression_id is None for other in mine)
            seen = views + sum(item is None or line.item_id == item for line in lines)
            return [len(mine), seen, *(sum(other.type == kind for other in mine) for kind in ("click", "purchase"))]

        number, seen, clicks, purchases = counts(one.item_id)
        _, all_seen, all_clicks, all_purchases = counts(None)
        assert row[f"popularity_{width}d"] == number
        assert row[f"shown_{width}d"] == seen
        for name, got, everything in (("ctr", clicks, all_clicks), ("conversion", purchases, all_purchases)):
            common = everything / all_seen if all_seen else 0.0
            expected = (got + common * config.rate_strength) / (seen + config.rate_strength)
            assert row[f"{name}_{width}d"] == pytest.approx(expected, rel=1e-12)


def check_sessions(built: Built, events: list[Interaction], gap_minutes: float = 30) -> None:
    """The session of every event: counted from what had arrived on time and strictly before, and nothing else."""
    rows = built.events()
    for user in {one.user_id for one in events}:
        mine = [one for one in events if one.user_id == user]
        instants = sorted({one.timestamp for one in mine if known(one) == one.timestamp})
        opened, name, opens = 0, "", {}
        for instant in instants:
            now = sorted((one for one in mine if one.timestamp == known(one) == instant), key=lambda one: one.event_id)
            before = [one.timestamp for one in mine if known(one) < instant]
            first, last = now[0].session_id or "", now[-1].session_id or ""
            gone = not before or instant - max(before) > timedelta(minutes=gap_minutes)
            starts = gone or (bool(first and name) and first != name)
            opened, name = opened + starts, last
            opens[instant] = (opened, starts)
        for one in mine:
            number, _ = max(((at, opens[at]) for at in instants if at <= one.timestamp), default=(None, (0, False)))[1]
            row = rows[one.event_id]
            on_time = known(one) == one.timestamp
            assert row["session"] == max(number - 1, 0)
            assert row["session_start"] == (on_time and opens[one.timestamp][1])


def check_histories(built: Built, events: list[Interaction], length: int) -> None:
    """The history of every request: the latest to happen of what had arrived."""
    for row in built.rows("requests"):
        past = [one for one in events if one.user_id == row["user_id"] and known(one) < row["timestamp"]]
        past.sort(key=lambda one: (one.timestamp, known(one), one.event_id))
        assert row["history_item_ids"] == [one.item_id for one in past][-length:]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), late=st.sampled_from([0.0, 0.3, 1.0]))
def test_nothing_knows_of_what_had_not_arrived(
    tmp_path_factory: pytest.TempPathFactory, seed: int, late: float
) -> None:
    folder = tmp_path_factory.mktemp("late")
    rng = random.Random(seed)
    events = [*late_events(80, seed, late), *TAIL]
    lists = [
        shown(f"l{n}", f"u{n % 4}", [f"i{rng.randrange(8):02d}" for _ in range(3)], rng.randrange(24 * 4))
        for n in range(20)
    ]
    config = {"popularity_days": (1, 3), "rate_strength": 4.0, "history_length": 4}
    built = build(write(folder / "data", events, lists), folder / "out", **config)
    check_events(built, events, lists, FeatureConfig(**config))
    check_sessions(built, events)
    check_histories(built, events, 4)


def test_an_event_that_is_said_to_arrive_before_it_happens_is_known_when_it_happens(tmp_path: Path) -> None:
    early = event("a", "u", "i01", 5, received_at=at(1))
    events = [early, event("b", "u", "i02", 3), event("c", "u", "i02", 6), *TAIL]
    rows = build(write(tmp_path / "data", events), tmp_path / "out").events()
    assert [rows[key]["seen"] for key in "abc"] == [1, 0, 2]
    assert rows["a"]["known_at"] == at(5)


def test_a_late_event_opens_no_session(tmp_path: Path) -> None:
    events = [
        event("a", "u", "i01", 0),
        event("b", "u", "i01", 5, received_at=at(30)),
        event("c", "u", "i01", 10),
        event("d", "u", "i01", 40),
        *TAIL,
    ]
    rows = build(write(tmp_path / "data", events), tmp_path / "out").events()
    assert [(rows[key]["session"], rows[key]["session_start"]) for key in "abcd"] == [
        (0, True), (0, False), (1, True), (2, True),
    ]  # fmt: skip


def test_a_late_event_names_no_session_before_it_arrives_and_ends_none_after(tmp_path: Path) -> None:
    events = [
        event("a", "u", "i01", 0.0, session_id="one"),
        event("b", "u", "i01", 0.1, session_id="gone", received_at=at(0.25)),
        event("c", "u", "i01", 0.2, session_id="two"),
        event("d", "u", "i01", 0.3, session_id="two"),
        *TAIL,
    ]
    rows = build(write(tmp_path / "data", events), tmp_path / "out").events()
    assert [(rows[key]["session"], rows[key]["session_start"]) for key in "abcd"] == [
        (0, True), (0, False), (1, True), (1, False),
    ]  # fmt: skip


def test_an_event_that_arrives_after_the_training_time_is_no_training_event(tmp_path: Path) -> None:
    from liverank.ranking.data import load_catalogue, load_events

    events = [event(f"e{n:02d}", "u", "i01", n) for n in range(40)]
    events.append(event("late", "v", "i02", 2, received_at=at(39.5)))
    built = build(write(tmp_path / "data", events), tmp_path / "out")
    assert sum(built.summary.events.values()) == 41
    assert built.summary.events["gap"] == 1
    loaded = load_events(built.folder, load_catalogue(built.folder))
    assert loaded.users == ("u",)
    assert len(loaded) == built.summary.events["train"]


def test_loaded_events_are_sorted_by_user_and_time_over_all_parts(tmp_path: Path) -> None:
    from liverank.ranking.data import load_catalogue, load_events

    events = [*late_events(120, 4), *TAIL]
    built = build(write(tmp_path / "data", events), tmp_path / "out", part_events=10)
    assert len(list((built.folder / "events").iterdir())) > 3
    loaded = load_events(built.folder, load_catalogue(built.folder))
    keys = [
        (loaded.users[user], time) for user, time in zip(loaded.user.tolist(), loaded.timestamp.tolist(), strict=True)
    ]
    assert keys == sorted(keys)
