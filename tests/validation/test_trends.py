"""The table as a whole, and against the runs before: measures by hand, the history as files."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.config import DataConfig, ValidationConfig
from liverank.validation.charts import columns
from liverank.validation.history import recall, remember
from liverank.validation.trends import jensen_shannon, new_words
from tests.validation.conftest import NOW, Judged, Tables, clean, run_on, write

Judge = Callable[..., Judged]
COUNTS = st.dictionaries(st.text(max_size=3), st.integers(1, 1000), min_size=1, max_size=6)


def many(days: int, a_day: int, **changed: Any) -> Tables:
    """`a_day` clicks on each day from 2024-01-01 on, on items of two categories with long titles."""
    tables = clean()
    start = NOW.replace(month=1, day=1)
    tables["impressions"] = []
    tables["items"] = [
        {
            "item_id": f"i{n}",
            "title": " ".join(f"word{n}x{m}" for m in range(20)),
            "category": "ab"[n % 2],
            "attributes": [],
        }
        for n in range(4)
    ]
    tables["interactions"] = [
        {
            "event_id": f"d{day}-{n}",
            "user_id": f"u{n}",
            "item_id": f"i{n % 4}",
            "type": "click",
            "timestamp": start + timedelta(days=day, minutes=n),
            **changed,
        }
        for day in range(days)
        for n in range(a_day)
    ]
    return tables


def run(folder: Path, name: str, tables: Tables, **config: Any) -> Judged:
    from liverank.validation.run import validate

    place = folder / name
    settings = ValidationConfig(**{"min_interactions": 3, **config})
    source = write(place / "source", tables)
    result = validate(
        source, settings, DataConfig(), place / "a", place / "q", place / "r.html", NOW, folder / "history"
    )
    return Judged(result, source, place / "a", place / "q", (place / "r.html").read_text(encoding="utf-8"))


def test_divergence_by_hand() -> None:
    # Halves against all in one: ((1/2) log2((1/2)/(3/4)) + 1/2 log2((1/2)/(1/4)) + log2(1/(3/4))) / 2.
    assert jensen_shannon({"a": 1, "b": 1}, {"a": 7}) == pytest.approx(0.3112781, abs=1e-7)


@given(COUNTS, COUNTS)
def test_divergence_is_symmetric_and_bounded(one: dict[str, int], other: dict[str, int]) -> None:
    value = jensen_shannon(one, other)
    assert 0 <= value <= 1
    assert value == pytest.approx(jensen_shannon(other, one))
    assert jensen_shannon(one, {key: 3 * count for key, count in one.items()}) == pytest.approx(0, abs=1e-9)


def test_new_words_are_judged_below_the_lower_bound() -> None:
    before = {"words": {"below": 0x50, "words": {"10": 1, "20": 1}}}
    now = {"words": {"below": 0x90, "words": {"10": 3, "40": 1, "60": 9}}}
    # 0x60 is above what the first sample could have held.
    assert new_words(now, before) == (0.25, 4)


def test_the_first_run_has_nothing_to_compare_with(tmp_path: Path) -> None:
    judged = run(tmp_path, "one", many(4, 20))
    assert judged.not_passed() == {}
    (check,) = [check for check in judged.result.checks if check.name == "types-steady"]
    assert "no accepted run" in check.detail


def test_the_same_data_again_is_steady(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20))
    judged = run(tmp_path, "two", many(4, 20))
    assert judged.not_passed() == {}
    assert "The last 2 runs" in judged.page


def test_each_change_is_noticed(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20))
    assert run(tmp_path, "type", many(4, 20, type="cart"), history=9).not_passed() == {"types-steady": "warn"}
    (tmp_path / "history").rename(tmp_path / "first")
    run(tmp_path, "again", many(4, 20))
    judged = run(tmp_path, "item", many(4, 20, item_id="i0"))
    assert judged.not_passed() == {"categories-steady": "warn"}
    (check,) = [check for check in judged.result.checks if check.name == "categories-steady"]
    assert "most moved: a from 50.0% to 100.0%" in check.detail


def test_volumes_are_compared_with_those_before(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20))
    more = many(8, 20)
    # Days 5 to 7 have a fourth of the rows; the last is not over and does not count.
    late = [row for row in more["interactions"] if not row["event_id"].startswith(("d4", "d5", "d6"))]
    few = [row for row in more["interactions"] if row["event_id"].startswith(("d4", "d5", "d6"))][::4]
    more["interactions"] = late + few
    judged = run(tmp_path, "two", more)
    assert judged.not_passed() == {"days-steady": "warn"}
    (check,) = [check for check in judged.result.checks if check.name == "days-steady"]
    assert check.detail == "5 rows on a new day (median); 20 before."
    assert run(tmp_path, "three", many(1, 25)).not_passed() == {"rows-steady": "warn"}


def test_new_words_in_titles_are_noticed(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20))
    tables = many(4, 20)
    tables["items"][0]["title"] = " ".join(f"quite{n}new" for n in range(40))
    judged = run(tmp_path, "two", tables)
    # 40 of 40 + 3 * 20 words.
    assert judged.not_passed() == {"words-known": "warn"}
    assert "40.0% of the words of titles are new." in judged.page


def test_a_run_that_was_stopped_is_no_reference(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20))
    assert not run(tmp_path, "stopped", many(4, 20, type="cart"), min_items=99).result.ok
    assert run(tmp_path, "three", many(4, 20)).not_passed() == {}


def test_empty_days_age_and_late_arrivals(judge: Judge) -> None:
    tables = many(5, 20)
    tables["interactions"] = [row for row in tables["interactions"] if not row["event_id"].startswith(("d1", "d2"))]
    for row in tables["interactions"][:15]:
        row["received_at"] = row["timestamp"] + timedelta(hours=25)
    for row in tables["interactions"][15:40]:
        row["received_at"] = row["timestamp"]
    judged = judge(tables, max_age_days=30)
    details = {check.name: check.detail for check in judged.result.checks}
    assert judged.not_passed() == {"days-complete": "warn", "events-fresh": "warn", "events-in-time": "warn"}
    assert details["days-complete"] == "2 of the days since 2024-01-01 have no interaction."
    # 15 of the 40 that say when they arrived.
    assert details["events-in-time"] == "37.5% arrived more than 24 hours after they happened."
    assert details["events-fresh"] == "The newest interaction is 148.0 days old."
    assert judge(tables, max_empty_days=2, max_late_share=0.4).not_passed() == {}


def test_history_is_bounded_and_a_damaged_record_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in range(5):
        time = (NOW + timedelta(days=day)).isoformat()
        remember(tmp_path, {"time": time, "ok": True, "rows": {}, "checks": {}, "profile": {}}, keep=3)
    assert [record["time"][8:10] for record in recall(tmp_path)] == ["03", "04", "05"]
    damaged, foreign, _ = sorted(tmp_path.glob("*.json"))
    damaged.write_text('{"time": "2024', encoding="utf-8")
    foreign.write_text(json.dumps({"ok": "yes"}), encoding="utf-8")
    assert [record["time"][8:10] for record in recall(tmp_path)] == ["05"]
    assert capsys.readouterr().err.count("is damaged") == 2
    assert len(list(tmp_path.glob("*.damaged"))) == 2
    assert len(recall(tmp_path)) == 1
    assert recall(tmp_path / "none") == []


def _remember_some(folder: Path, worker: int) -> None:
    for number in range(10):
        time = (NOW + timedelta(seconds=number, microseconds=worker)).isoformat()
        remember(folder, {"time": time, "ok": True, "rows": {}, "checks": {}, "profile": {}}, keep=25)
        recall(folder)


def test_runs_beside_each_other_lose_nothing(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("fork").Process(target=_remember_some, args=(tmp_path, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(recall(tmp_path)) == 25
    assert not list(tmp_path.glob("*.damaged"))


def test_no_user_is_in_the_history(tmp_path: Path) -> None:
    run(tmp_path, "one", many(4, 20, user_id="someone-in-person"))
    (record,) = (tmp_path / "history").glob("*.json")
    assert "someone-in-person" not in record.read_text(encoding="utf-8")


def test_without_a_history_nothing_is_kept(tmp_path: Path) -> None:
    judged = run_on(write(tmp_path / "source", clean()), tmp_path)
    assert judged.result.ok
    assert not (tmp_path / "history").exists()


@pytest.mark.parametrize("width", [300, 920])
@pytest.mark.parametrize("count", [2, 3, 7, 40, 180])
def test_the_axis_of_a_chart_ends_where_its_bars_end(count: int, width: int) -> None:
    drawn = columns([(f"day {place}", 1.0, "") for place in range(count)], "rows", width)
    bars = [(float(x), float(w)) for x, w in re.findall(r'<rect class="" x="([\d.]+)"[^>]* width="([\d.]+)"', drawn)]
    (end,) = (float(x) for x in re.findall(rf'x="([\d.]+)"[^>]*>day {count - 1}</text>', drawn))
    assert len(bars) == count
    left, last = bars[-1]
    # But for the gap after the last bar.
    assert left + last <= end <= min(width, left + last + 2) + 0.01
    # The labels of both ends, of 100 pixels or so, do not meet.
    assert end >= 240
