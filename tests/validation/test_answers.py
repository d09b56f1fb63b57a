"""Checks on what a row has to do with others, on texts, and on sources; and where every row goes, whatever is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liverank.errors import ConfigError
from liverank.validation import flags
from tests.validation.conftest import NOW, Judged, Tables, clean, run_on, write

Judge = Callable[..., Judged]


def line(position: int, propensity: float | None = 1.0) -> dict[str, Any]:
    return {"item_id": f"i{position % 4}", "position": position, "propensity": propensity}


WARNED: list[tuple[str, str, int, dict[str, Any]]] = [
    ("event-impression-user", "interactions", 0, {"user_id": "u1"}),
    ("event-impression-item", "interactions", 0, {"item_id": "i3"}),
    ("event-after-impression", "interactions", 0, {"timestamp": NOW - timedelta(days=10, seconds=1)}),
    (
        "event-once",
        "interactions",
        6,
        {"user_id": "u2", "item_id": "i1", "timestamp": NOW - timedelta(days=9, hours=18, minutes=59)},
    ),
    ("event-arrival", "interactions", 3, {"received_at": NOW - timedelta(days=11)}),
    ("event-value-sign", "interactions", 4, {"value": -0.5}),
    ("shown-contiguous", "impressions", 1, {"shown": [line(1), line(3)]}),
    ("shown-contiguous", "impressions", 1, {"shown": [line(1), {**line(1), "item_id": "i2"}]}),
    ("shown-propensities-complete", "impressions", 1, {"shown": [line(1), line(2, None)]}),
    ("item-title-length", "items", 2, {"title": "x" * 1001}),
    ("item-text-length", "items", 2, {"text": "x" * 100_001}),
]


@pytest.mark.parametrize(("name", "table", "row", "values"), WARNED)
def test_each_fault_is_warned_of_alone(judge: Judge, name: str, table: str, row: int, values: dict[str, Any]) -> None:
    tables = clean()
    tables[table][row] |= values
    judged = judge(tables)
    assert judged.not_passed() == {name: "warn"}
    assert judged.outcome(name) == ("warn", 1)
    assert judged.result.set_aside == 0
    aside = judge(tables, severities={name: "set-aside"})
    assert aside.rows(table)[1][0]["reasons"] == [name]


def test_the_clean_event_that_is_repeated_is_the_one_of_the_case_above() -> None:
    # e5: user u2, item i1, 5 hours and a minute after the start.
    five = clean()["interactions"][5]
    assert (five["user_id"], five["item_id"]) == ("u2", "i1")
    assert five["timestamp"] == NOW - timedelta(days=9, hours=18, minutes=59)


def test_a_row_that_goes_anyway_does_not_speak_against_others(judge: Judge) -> None:
    tables = clean()
    # The twin comes first, but its type is unknown: the good one stays the only one.
    tables["interactions"].insert(0, {**tables["interactions"][0], "event_id": "twin", "item_id": "gone"})
    tables["interactions"].insert(0, {**tables["interactions"][1], "event_id": "other", "type": "?"})
    assert judge(tables).not_passed() == {"event-item-known": "set-aside", "event-type-known": "set-aside"}


def test_machines_are_told_by_their_pace(judge: Judge) -> None:
    tables = clean()
    row = {**tables["interactions"][11], "user_id": "robot", "impression_id": None}
    start = NOW.replace(day=1, hour=3) - timedelta(days=3)
    tables["interactions"] += [
        {**row, "event_id": f"r{n}", "timestamp": start + timedelta(seconds=n)} for n in range(6)
    ]
    assert judge(tables, max_events_per_hour=6).not_passed() == {"days-complete": "warn"}
    judged = judge(tables, max_events_per_hour=5)
    assert judged.outcome("event-human-pace") == ("warn", 6)


@pytest.mark.parametrize(
    ("title", "text", "script"),
    [
        ("Red shoes", "", "Latin"),
        ("Schöne Grüße", "", "Latin"),
        ("红色的鞋子 XL", "", "Han"),
        ("かばん", "", "Hiragana"),
        ("красные туфли", "", "Cyrillic"),
        ("신발", "", "Hangul"),
        ("12345 !!!", "", ""),
        (None, None, ""),
        ("ಕನ್ನಡ", "", "other"),
        ("A", "красные туфли", "Cyrillic"),
    ],
)
def test_scripts(title: str | None, text: str | None, script: str) -> None:
    rows = pa.table({"row": [0], "title": pa.array([title], pa.string()), "text": pa.array([text], pa.string())})
    with duckdb.connect() as connection:
        connection.register("items_rows", rows)
        assert connection.execute(flags.scripts("items_rows")).fetchall() == [(0, script)]


def test_items_in_other_scripts_are_warned_of(judge: Judge) -> None:
    tables = clean()
    tables["items"][0]["title"] = "Красные туфли"
    assert judge(tables).not_passed() == {}
    assert judge(tables, scripts=["Latin"]).outcome("item-script") == ("warn", 1)
    assert judge(tables, scripts=["Latin", "Cyrillic"]).not_passed() == {}
    with pytest.raises(ConfigError, match="there is no 'Lateinisch'"):
        judge(tables, scripts=["Lateinisch"])


def test_rows_and_faults_are_told_by_source(tmp_path: Path) -> None:
    tables = clean()
    tables["interactions"][3]["type"] = "?"
    rejected = [{"table": "interactions", "row": "{}", "reason": "no user", "origin": "app"}]
    source = write(tmp_path / "source", tables, rejected)
    events = pq.read_table(source / "interactions.parquet")
    origins = pa.array(["app" if n < 4 else "<web>" for n in range(12)])
    pq.write_table(events.append_column("origin", origins), source / "interactions.parquet")
    judged = run_on(source, tmp_path)
    app, web = judged.result.sources["app"], judged.result.sources["<web>"]
    assert (app.accepted, app.set_aside, app.rejected, app.checks) == (3, 1, 1, {"event-type-known": 1})
    assert (web.accepted, web.set_aside, web.rejected, web.checks) == (8, 0, 0, {})
    assert "&lt;web&gt;" in judged.page
    # Items, users and lists say no source.
    assert judged.result.sources[""].accepted == 4 + 1 + 3
    assert {row["origin"] for row in judged.rows("interactions")[0]} == {"app", "<web>"}


FAULTY = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.sampled_from(["e0", "e1", "", None, "e" * 300]),
        "user_id": st.sampled_from(["u1", "", None]),
        "item_id": st.sampled_from(["i1", "gone", None]),
        "type": st.sampled_from(["view", "?", None]),
        "timestamp": st.sampled_from([None, NOW, NOW + timedelta(days=9)]),
        "impression_id": st.sampled_from(["l0", "l1", "lost", None]),
    },
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(FAULTY, max_size=30))
def test_every_row_is_accepted_or_set_aside_in_order(faults: list[dict[str, Any]]) -> None:
    tables: Tables = clean()
    for number, fault in enumerate(faults):
        tables["interactions"].append({**tables["interactions"][number % 12], "event_id": f"f{number}", **fault})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        judged = run_on(write(folder / "source", tables), folder, max_set_aside=1.0)
        source = pq.read_table(judged.source / "interactions.parquet").to_pylist()
        accepted, aside = judged.rows("interactions")
        columns = list(source[0])
        kept = [tuple(str(row[column]) for column in columns) for row in accepted]
        gone = [tuple(str(row[column]) for column in columns) for row in aside]
        whole = [tuple(str(row[column]) for column in columns) for row in source]
        assert sorted(kept + gone) == sorted(whole)
        assert all(row["reasons"] for row in aside)
        for part in (kept, gone):
            positions = iter(whole)
            assert all(row in positions for row in part)
