"""The figures of small datasets, against values worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.data.profile.engine import opened
from liverank.data.profile.page import page
from liverank.data.profile.run import profile
from liverank.data.profile.scripts import main_scripts
from liverank.data.profile.supply import gini, lorenz, zipf
from liverank.errors import DataError
from tests.data.profile.folder import MONDAY, at, event, figures, folder, item, shown


def test_rows_spans_and_sources(tmp_path):
    refused = pa.table({"table": ["interactions"] * 3, "row": ["{}"] * 3, "reason": ["no user", "no user", "no time"]})
    found = figures(tmp_path, item("a"), event("u", "a"), event("v", "a", at(days=2)), rejected=refused)
    assert found["tables"]["interactions"] == {
        "rows": 2,
        "first": "2026-03-02T09:00:00+00:00",
        "last": "2026-03-04T09:00:00+00:00",
    }
    assert found["tables"]["rejected"] == {"rows": 3}
    assert [(row["reason"], row["n"]) for row in found["refused"]] == [("no user", 2), ("no time", 1)]
    shop = next(row for row in found["sources"] if row["name"] == "shop")
    assert (shop["items"], shop["interactions"], shop["first"]) == (1, 2, "2026-03-02T09:00:00+00:00")


def test_volumes_have_every_day_and_the_week_its_hours(tmp_path):
    events = [event("u", "a"), event("u", "b", kind="view"), event("u", "a", at(days=3, hours=5))]
    found = figures(tmp_path, *events)
    volume = found["volume"]
    assert (volume["bucket"], volume["types"], volume["totals"]) == ("day", ["click", "view"], {"click": 2, "view": 1})
    assert [point["types"] for point in volume["points"]] == [[1, 1], [0, 0], [0, 0], [1, 0]]
    assert found["week"][0][9] == 2
    assert found["week"][3][14] == 1
    assert sum(map(sum, found["week"])) == 3


def test_a_long_span_is_drawn_in_larger_units(tmp_path):
    assert figures(tmp_path / "a", event("u", "a"), event("u", "a", at(hours=30)))["volume"]["bucket"] == "hour"
    assert figures(tmp_path / "b", event("u", "a"), event("u", "a", at(days=400)))["volume"]["bucket"] == "week"
    found = figures(tmp_path / "c", event("u", "a"), event("u", "a", at(days=365 * 300)))
    assert found["volume"]["bucket"] == "year"
    assert len(found["volume"]["points"]) == 300


def test_what_was_never_seen_before_that_day(tmp_path):
    events = [
        event("u", "a"),
        event("u", "b"),
        event("u", "a", at(days=3)),
        event("v", "a", at(days=3)),
        event("v", "c", at(days=3)),
        event("u", "c", at(days=3, hours=1)),
    ]
    rows = figures(tmp_path, *events)["unseen"]
    assert [(row["n"], row["items"], row["users"]) for row in rows] == [(2, 2, 2), (4, 2, 2)]


def test_sessions_gaps_and_baskets(tmp_path):
    events = [
        event("u", "a"),
        event("u", "b"),
        event("u", "c", at(minutes=10)),
        event("u", "a", at(minutes=41), "purchase"),
        event("u", "b", at(minutes=41), "purchase"),
        event("v", "a", at(minutes=1), session_id="x"),
        event("v", "a", at(minutes=2), session_id="y"),
    ]
    found = figures(tmp_path, *events)
    # u: 09:00-09:10 with three events, 09:41 with two; v: two sessions that the source names.
    assert found["sessions"]["events"]["n"] == 4
    assert found["sessions"]["events"]["max"] == 3
    assert found["sessions"]["seconds"]["max"] == 600
    assert found["sessions"]["gaps"]["n"] == 3
    assert found["baskets"]["type"] == "purchase"
    assert found["baskets"]["items"]["bins"] == [{"from": 2, "to": 3, "n": 1}]


def test_repeats_are_counted_by_type(tmp_path):
    events = [event("u", "a"), event("u", "a", at(days=1)), event("v", "a"), event("u", "a", at(days=2), "purchase")]
    assert figures(tmp_path, *events)["repeats"] == [
        {"type": "click", "n": 3, "again": 1},
        {"type": "purchase", "n": 1, "again": 0},
    ]


def test_the_tail_and_what_covers_what(tmp_path):
    events = [event("u", name, at(seconds=place)) for place, name in enumerate("aaaaaabbcx")]
    found = figures(tmp_path, *(item(name) for name in "abcd"), *events)["items"]
    assert (found["active"], found["catalogue"], found["untouched"], found["once"]) == (4, 4, 1, 2)
    assert (found["unknown_items"], found["unknown_events"]) == (1, 1)
    # Counts 1, 1, 2, 6: 2 * (1 + 2 + 6 + 24) / (4 * 10) - 5 / 4.
    assert found["gini"] == pytest.approx(0.4)
    assert found["top_shares"] == {"1%": 0.6, "10%": 0.6}
    assert found["zipf"] == [[1, 6], [2, 2], [3, 1], [4, 1]]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_gini_is_twice_the_area_below_the_diagonal(counts):
    ascending = np.sort(np.asarray(counts, np.float64))
    shares = np.concatenate([[0], np.cumsum(ascending)]) / ascending.sum()
    area = np.trapezoid(shares, dx=1 / len(ascending))
    assert gini(ascending) == pytest.approx(1 - 2 * area, abs=1e-9)
    curve = np.asarray(lorenz(ascending))
    assert curve[0].tolist() == [0, 0]
    assert curve[-1] == pytest.approx([1, 1])
    assert (curve[:, 1] <= curve[:, 0] + 1e-9).all()


def test_zipfs_law_has_its_slope():
    counts = np.round(1e6 * np.arange(1, 2001, dtype=np.float64) ** -1.1)
    assert zipf(counts)["slope"] == pytest.approx(-1.1, abs=0.01)


def test_late_arrivals(tmp_path):
    events = [
        event("u", "a"),
        event("u", "a", received_at=at(seconds=30)),
        event("u", "a", received_at=at(hours=2)),
        event("u", "a", at(hours=3), received_at=at(hours=2)),
    ]
    late = figures(tmp_path, *events)["late"]
    assert (late["n"], late["told"], late["early"]) == (4, 3, 1)
    assert (late["seconds"]["n"], late["seconds"]["max"]) == (2, 7200)


def test_bots_by_each_rule(tmp_path):
    burst = [event("fast", f"i{n % 50}", at(seconds=3 * n)) for n in range(310)]
    sleepless = [event("owl", "a", at(days=1, hours=n % 24 - 9, minutes=n)) for n in range(120)]
    regular = [event("clock", "a", at(days=2, seconds=60 * n)) for n in range(150)]
    person = [event("person", "a", at(days=n, minutes=n * n)) for n in range(20)]
    found = figures(tmp_path, *burst, *sleepless, *regular, *person)["bots"]
    rules = {row["rule"]: (row["users"], row["events"]) for row in found["rules"]}
    assert rules == {"bursts": (1, 310), "sleepless": (1, 120), "regular": (2, 460)}
    assert (found["users"], found["events"]) == (3, 580)


def test_texts_lengths_and_categories(tmp_path):
    items = [
        item("a", "Lamp", text="a red lamp", category="light"),
        item("b", "灯", category="light"),
        item("c", "Lamp", category="sofa"),
        item("d"),
    ]
    found = figures(tmp_path, *items, event("u", "a"), event("u", "c"), event("u", "c"))
    texts, shelves = found["texts"], found["categories"]
    assert (texts["without_title"], texts["without_text"], texts["without_words"]) == (1, 3, 1)
    assert texts["shared_titles"] == 1
    assert texts["title"]["max"] == 4
    assert {row["name"]: row["n"] for row in texts["scripts"]} == {"Latin": 2, "Han": 1, "no letters": 1}
    assert [(row["name"], row["items"], row["events"]) for row in shelves["top"]] == [("sofa", 1, 2), ("light", 2, 1)]
    assert (shelves["categories"], shelves["without"], shelves["singles"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("مصباح أحمر", "Arabic"),
        ("מנורה", "Hebrew"),
        ("красная лампа", "Cyrillic"),
        ("赤いランプ", "Japanese"),
        ("红色台灯", "Han"),
        ("빨간 램프", "Hangul"),
        ("लाल दीपक", "Indic"),
        ("โคมไฟ", "Thai and Lao"),
        ("🛋️🔥", "Emoji"),
        ("Größe XL", "Latin"),
        ("12 / 34", "no letters"),
        ("", "no letters"),
        ("\ud800", "no letters"),
    ],
)
def test_scripts(text, script):
    assert dict(main_scripts([text])) == {script: 1}


def test_languages_are_told_or_undetermined_and_said(tmp_path):
    titles = ["Rote Laufschuhe für Damen", "Gartenstuhl mit Kissen", "女士红色跑步鞋", "XL", None]
    items = [item(f"i{at}", title, attributes={"lang": "de"} if at < 2 else {}) for at, title in enumerate(titles)]
    found = figures(tmp_path, *items)
    assert found["texts"]["languages"] == {
        "looked_at": 5,
        "undetermined": 2,
        "told": [{"code": "de", "n": 2}, {"code": "zh", "n": 1}],
        "said": [{"name": "de", "n": 2}],
    }
    drawn = page(found, MONDAY)
    assert "German (de): 2 · 66.7 %" in drawn
    assert "undetermined <b>2 · 40.0 %</b>" in drawn


@pytest.mark.parametrize(("german", "told"), [(4, False), (12, True)])
def test_a_catalogue_that_is_not_english_is_told_of(tmp_path, german, told):
    titles = ["Rote Laufschuhe für Damen"] * german + ["Red running shoes for women"] * (60 - german)
    found = figures(tmp_path, *(item(f"i{at}", title) for at, title in enumerate(titles)))["findings"]
    said = [one["text"] for one in found if "language" in one["text"]]
    assert said == (["20.0 % of the texts whose language is told are not English (German)."] if told else [])


def test_a_hundred_thousand_categories(tmp_path):
    rows = 100_000
    path = folder(tmp_path, event("u", "i7"))
    names = [f"i{n}" for n in range(rows)]
    table = pa.table({"item_id": names, "title": names, "text": names, "category": [f"shelf {n}" for n in range(rows)]})
    import pyarrow.parquet as pq

    pq.write_table(table, path / "items.parquet")
    found = profile(path)["categories"]
    assert (found["categories"], found["singles"]) == (rows, rows)
    assert found["top"][0] == {"name": "shelf 7", "items": 1, "events": 1}
    assert len(found["top"]) == 15
    assert found["rest"] == {"categories": rows - 15, "items": rows - 15}


@pytest.mark.parametrize(
    "records",
    [[], [item("a")], [event("u", "a")], [shown("l", ["a"])], [shown("l", [])], [item("a"), event("u", "a")]],
)
def test_next_to_nothing_is_told_as_it_is(tmp_path, records):
    found = figures(tmp_path, *records)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_little_memory_is_enough(tmp_path):
    events = [event(f"u{n % 100}", f"i{n % 37}", at(minutes=n)) for n in range(5000)]
    path = folder(tmp_path, *events)
    assert profile(path, "100MB") == profile(path)


def test_a_folder_that_is_none_or_lost_a_column(tmp_path):
    with pytest.raises(DataError, match="not a dataset folder"):
        profile(tmp_path)
    path = folder(tmp_path / "a", event("u", "a"))
    (path / "items.parquet").unlink()
    with pytest.raises(DataError, match=r"items\.parquet"), opened(path):
        pass
    path = folder(tmp_path / "b", event("u", "a"))
    import pyarrow.parquet as pq

    pq.write_table(
        pq.read_table(path / "interactions.parquet").drop_columns(["timestamp"]), path / "interactions.parquet"
    )
    with pytest.raises(DataError, match="no column timestamp"), opened(path):
        pass


def test_what_stands_out(tmp_path):
    found = figures(tmp_path, item("a", "Lamp"), event("u", "a"), event("v", "gone", at(days=1)))
    said = {one["text"]: one["kind"] for one in found["findings"]}
    assert said["50.0 % of the events are on 1 item that the catalogue lacks."] == "mend"
    assert said["No shown list was logged."] == "mind"
    assert said["No item has a category."] == "know"
    assert [one["kind"] for one in found["findings"]] == sorted(said.values(), key=("mend", "mind", "know").index)
    assert MONDAY.hour == 9


def texts(found):
    return " ".join(one["text"] for one in found["findings"])


def test_a_few_times_years_away_do_not_stretch_the_charts_and_are_told(tmp_path):
    days = [event(f"u{n % 9}", "a", at(hours=n)) for n in range(480)]
    far = event("u1", "b", at(days=30_000))
    found = figures(tmp_path / "far", *days, far, shown("l", ["a"], at(days=1)))
    assert found["volume"]["bucket"] == "day"
    assert len(found["volume"]["points"]) == 21  # twenty days from nine in the morning
    assert sum(point["types"][0] for point in found["volume"]["points"]) == 480
    assert sum(row["n"] for row in found["unseen"]) == 480
    assert found["volume"]["left"] == {
        "events": 1,
        "lists": 0,
        "first": "2108-04-21T09:00:00+00:00",
        "last": "2108-04-21T09:00:00+00:00",
    }
    assert "1 event lies far from all others in time (2108-04-21)." in texts(found)
    assert found["tables"]["interactions"]["rows"] == 481
    assert "far from all else: 1 event and 0 lists, from 2108-04-21 to 2108-04-21." in page(found, MONDAY)
    near = figures(tmp_path / "near", *days, event("u1", "b", at(days=35)))
    assert near["volume"]["left"]["events"] == 0
    assert len(near["volume"]["points"]) == 36


def test_a_thin_tail_without_a_break_is_drawn_and_dirt_at_either_end_is_not(tmp_path):
    core = [event(f"u{n % 9}", "a", at(hours=n)) for n in range(480)]
    tail = [event("u", "a", at(days=20 + 10 * n)) for n in range(10)]
    dirt = [event("u", "a", at(days=days)) for days in (-9000, -8000, 3650, 3651, 3652, 7000)]
    left = figures(tmp_path, *core, *tail, *dirt)["volume"]["left"]
    assert (left["events"], left["first"][:4], left["last"][:4]) == (6, "2001", "2045")


def test_lists_of_another_time_than_the_events_are_drawn(tmp_path):
    lists = [shown(f"l{n}", ["a"], at(days=400, hours=n)) for n in range(300)]
    found = figures(tmp_path, *(event("u", "a", at(hours=n)) for n in range(300)), *lists)
    assert sum(point["lists"] for point in found["volume"]["points"]) == 300
    assert found["volume"]["left"]["lists"] == found["volume"]["left"]["events"] == 0


def test_gaps_are_called_exact_only_where_they_repeat_exactly(tmp_path):
    same = [event("u", "a", at(seconds=41_400 * n)) for n in range(150)]
    assert "are 11 h 30 min exactly: those times were made up or rounded." in texts(figures(tmp_path / "a", *same))
    near = [event("u", "a", at(seconds=41_400 * n + n * n % 60)) for n in range(150)]
    assert "exactly" not in texts(figures(tmp_path / "b", *near))
    parts = [event("u", "a", at(seconds=41_400.25 * n)) for n in range(150)]
    assert "exactly" not in texts(figures(tmp_path / "c", *parts))
    seconds = [event("u", "a", at(seconds=n)) for n in range(150)]
    assert "are 1 s exactly" in texts(figures(tmp_path / "e", *seconds))
    dates = [event("u", "a", at(days=n)) for n in range(150)]
    assert "exactly" not in texts(figures(tmp_path / "d", *dates))


def test_baskets_have_several_events(tmp_path):
    single = [event("u", "a", at(hours=5 * n)) for n in range(40)]
    found = figures(tmp_path / "a", *single)
    assert (found["sessions"]["several"], found["sessions"]["at_once"]) == (0, 0)
    assert "baskets" not in texts(found)
    assert "Nine sessions in ten are a single event." in texts(found)
    pairs = [event("u", name, at(hours=5 * n)) for n in range(40) for name in "ab"]
    found = figures(tmp_path / "b", *pairs)
    assert (found["sessions"]["several"], found["sessions"]["at_once"]) == (40, 40)
    assert "Nine in ten sessions of several events are one instant: events come in baskets." in texts(found)


def test_one_of_a_kind_is_told_in_the_singular(tmp_path):
    events = [event("u", "a", at(seconds=3 * n)) for n in range(400)] + [event("v", "a", at(days=1))]
    assert "1 user looks like a bot and has 99.8 % of the events." in texts(figures(tmp_path, *events))
