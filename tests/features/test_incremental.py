"""Features of past days are kept: whatever changes, the result is that of a run from scratch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from liverank.errors import DataError
from liverank.events import Impression, Interaction
from liverank.features.parts import Day, planned
from tests.features.conftest import at, build, event, shown, write
from tests.features.test_arrival import known, late_events

CONFIG = {"part_events": 30, "history_length": 5, "popularity_days": (1, 3), "candidates": 5, "max_requests": 10}


def files(folder: Path) -> dict[str, bytes]:
    """The content of every Parquet file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def same_as_from_scratch(tmp_path: Path, events: Sequence[Interaction], lists: Sequence[Impression], name: str) -> None:
    """Builds with the cache and without it: every byte and the summary must be the same."""
    dataset = write(tmp_path / f"data {name}", events, lists)
    kept = build(dataset, tmp_path / f"kept {name}", cache=tmp_path / "cache", **CONFIG)
    scratch = build(dataset, tmp_path / f"scratch {name}", **CONFIG)
    assert kept.summary == scratch.summary
    assert files(kept.folder) == files(scratch.folder)


def world(seed: int) -> tuple[list[Interaction], list[Impression]]:
    """Eight days of events, some late, some twice, and of lists."""
    rng = random.Random(seed)
    events = late_events(220, seed)
    again = [msgspec.structs.replace(one, timestamp=one.timestamp + timedelta(hours=30)) for one in events[::40]]
    lists = [
        shown(f"l{n % 58:02d}", f"u{n % 5}", [f"i{rng.randrange(8):02d}" for _ in range(3)], n * 1.6) for n in range(60)
    ]
    return [*events, *again], lists


def until(days: float, events: Sequence[Interaction], lists: Sequence[Impression]) -> tuple[list, list]:
    """What had arrived by then."""
    return [one for one in events if known(one) < at(24 * days)], [
        one for one in lists if one.timestamp < at(24 * days)
    ]


def test_day_after_day_is_the_same_as_from_scratch(tmp_path: Path) -> None:
    events, lists = world(11)
    for day in (3, 4, 5.5, 7):
        same_as_from_scratch(tmp_path, *until(day, events, lists), f"{day}")


def test_sessions_of_a_user_whose_kept_events_are_all_late(tmp_path: Path) -> None:
    """Nothing opened a session before the new day: its events number theirs as from scratch."""
    others, lists = world(4)
    late = [event(f"x{n}", "x", "i01", 10.0 * n, received_at=at(10.0 * n + 20)) for n in range(4)]
    fresh = [event(f"y{n}", "x", "i02", 24 * 6 + n / 5, session_id="s") for n in range(4)]
    early, _ = until(5, [*others, *late], lists)
    same_as_from_scratch(tmp_path, early, lists, "before")
    same_as_from_scratch(tmp_path, [*others, *late, *fresh], lists, "after")


def _changed(events: list[Interaction]) -> list[Interaction]:
    """Another item on an event of the third day."""
    at_place = next(n for n, one in enumerate(events) if at(48) <= known(one) < at(72))
    return [*events[:at_place], msgspec.structs.replace(events[at_place], item_id="i07"), *events[at_place + 1 :]]


def _without(events: list[Interaction]) -> list[Interaction]:
    return [one for one in events if one.user_id != "u2"]


@pytest.mark.parametrize(
    "change", [_changed, _without, lambda events: events[:-30], lambda events: events], ids=["day", "user", "end", "no"]
)
def test_what_changes_is_computed_anew(
    tmp_path: Path, change: Callable[[list[Interaction]], list[Interaction]]
) -> None:
    events, lists = until(6, *world(5))
    same_as_from_scratch(tmp_path, events, lists, "before")
    same_as_from_scratch(tmp_path, change(events), lists, "after")


def test_an_erased_user_is_nowhere_in_the_cache(tmp_path: Path) -> None:
    events, lists = world(7)
    cache = tmp_path / "cache"
    build(write(tmp_path / "a", events, lists), tmp_path / "fa", cache=cache, **CONFIG)
    assert any(b"u2" in path.read_bytes() or _has_user(path) for path in cache.rglob("*.parquet"))
    rest = [one for one in lists if one.user_id != "u2"]
    build(write(tmp_path / "b", _without(events), rest), tmp_path / "fb", cache=cache, **CONFIG)
    assert not any(_has_user(path) for path in cache.rglob("*") if path.is_file())


def _has_user(path: Path, user: str = "u2") -> bool:
    if path.suffix != ".parquet" or "user_id" not in pq.read_schema(path).names:
        return False
    return user in pq.read_table(path)["user_id"].to_pylist()


def test_only_the_last_part_is_computed_for_a_new_day(tmp_path: Path) -> None:
    events, lists = world(3)
    cache = tmp_path / "cache"
    build(write(tmp_path / "a", *until(5, events, lists)), tmp_path / "fa", cache=cache, **CONFIG)
    before = {path: path.stat().st_mtime_ns for path in (cache / "events").iterdir()}
    build(write(tmp_path / "b", *until(6, events, lists)), tmp_path / "fb", cache=cache, **CONFIG)
    rewritten = [path for path, at_time in before.items() if path.stat().st_mtime_ns != at_time]
    assert len(before) > 3
    assert len(rewritten) <= 1


def test_other_settings_are_another_cache(tmp_path: Path) -> None:
    events, lists = world(2)
    dataset, cache = write(tmp_path / "data", events, lists), tmp_path / "cache"
    build(dataset, tmp_path / "a", cache=cache, **CONFIG)
    changed = {**CONFIG, "session_gap_minutes": 600}
    kept = build(dataset, tmp_path / "b", cache=cache, **changed)
    scratch = build(dataset, tmp_path / "c", **changed)
    assert files(kept.folder) == files(scratch.folder)
    assert len(list((cache / "events").iterdir())) == len(list((kept.folder / "events").iterdir()))


def test_killed_in_the_middle_it_goes_on_and_nothing_looks_complete(tmp_path: Path) -> None:
    events, lists = world(9)
    dataset = write(tmp_path / "data", events, lists)
    code = (
        "import sys; from pathlib import Path; from tests.features.conftest import build\n"
        "from tests.features.test_incremental import CONFIG\n"
        "build(Path(sys.argv[1]), Path(sys.argv[2]), cache=Path(sys.argv[3]), **CONFIG)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(dataset), str(tmp_path / "killed"), str(tmp_path / "cache")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    events_there = tmp_path / "cache" / "events"
    while child.poll() is None and not (events_there.is_dir() and any(events_there.glob("*.parquet"))):
        time.sleep(0.002)
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert not (tmp_path / "killed" / "split.json").exists()
    same_as_from_scratch(tmp_path, events, lists, "again")


def test_parts_end_with_the_day_that_fills_them_and_do_not_move_when_days_are_added() -> None:
    days = [Day(day, rows, str(day)) for day, rows in [(3, 4), (1, 5), (2, 6), (9, 20), (10, 1), (30, 2)]]
    found = planned(days, 10)
    assert [(part.first, part.last) for part in found] == [(1, 2), (3, 9), (10, 30)]
    more = planned([*days, Day(31, 50, "x")], 10)
    assert more[:2] == found[:2]
    assert [(part.first, part.last) for part in more] == [(1, 2), (3, 9), (10, 31)]
    assert planned([Day(1, 5, "other"), *days[2:]], 10)[0] != found[0]


def test_a_broken_list_of_parts_is_a_run_from_scratch(tmp_path: Path) -> None:
    events = [event(f"e{n:03d}", f"u{n % 5}", f"i{n % 9:02d}", n) for n in range(100)]
    same_as_from_scratch(tmp_path, events, [], "a")
    (tmp_path / "cache" / "parts.json").write_text("{", encoding="utf-8")
    same_as_from_scratch(tmp_path, events, [], "b")


@pytest.mark.parametrize("kind", ["events", "item_days"])
def test_a_damaged_file_is_computed_anew(tmp_path: Path, kind: str) -> None:
    events, lists = world(3)
    data = write(tmp_path / "data", events, lists)
    expected = files(build(data, tmp_path / "whole", cache=tmp_path / "cache", **CONFIG).folder)
    damaged = min((tmp_path / "cache" / kind).iterdir())
    content = damaged.read_bytes()
    damaged.unlink()  # it shares its bytes with the folder that was handed out
    damaged.write_bytes(content[: len(content) // 2])
    assert files(build(data, tmp_path / "again", cache=tmp_path / "cache", **CONFIG).folder) == expected


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    events, lists = world(1)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="where the features of past days are kept"):
        build(write(tmp_path / "data", events, lists), tmp_path / "out", cache=tmp_path / "cache", **CONFIG)
