"""Requests, their lists, answers and histories; the split; no leakage; the same in, the same out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig
from liverank.errors import ConfigError, DataError
from liverank.events import ShownItem
from liverank.features.assembly import REQUEST_SCHEMA, candidate_list
from liverank.features.build import FOLDERS, TABLES
from liverank.features.users import USERS_FILE
from tests.conftest import real_data
from tests.features.conftest import START, Built, build, event, random_events, shown, split_of, write

BASKETS = {"candidates": 10, "history_length": 5, "train_lists": True}


@pytest.fixture(scope="module")
def baskets(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Random events of 12 users, no list shown."""
    folder = tmp_path_factory.mktemp("baskets")
    return build(write(folder / "data", random_events(600, seed=3)), folder / "out", **BASKETS)


def test_the_table_has_its_schema(baskets: Built) -> None:
    assert pq.read_schema(baskets.folder / "requests.parquet").equals(REQUEST_SCHEMA)
    rows = baskets.rows("requests")
    keys = [(row["timestamp"], row["request_id"]) for row in rows]
    assert keys == sorted(keys)
    assert {row["source"] for row in rows} == {"retriever"}


def test_a_basket_is_a_users_positive_events_of_one_instant(baskets: Built) -> None:
    events = random_events(600, seed=3)
    for row in baskets.rows("requests"):
        now = [one for one in events if one.user_id == row["user_id"] and one.timestamp == row["timestamp"]]
        assert row["truth_item_ids"] == sorted({one.item_id for one in now if one.type in DataConfig().label_types})
        assert row["truth_item_ids"]


def test_histories_of_requests_are_the_users_strictly_earlier_events(baskets: Built) -> None:
    events = sorted(random_events(600, seed=3), key=lambda one: (one.timestamp, one.event_id))
    for row in baskets.rows("requests"):
        earlier = [one for one in events if one.user_id == row["user_id"] and one.timestamp < row["timestamp"]][-5:]
        assert row["history_item_ids"] == [one.item_id for one in earlier]
        assert row["history_types"] == [one.type for one in earlier]
        assert row["history_timestamps"] == [one.timestamp.timestamp() for one in earlier]


def test_candidates_come_from_the_retriever_and_the_truth_is_not_forced_in(baskets: Built) -> None:
    rows = baskets.rows("requests")
    for row in rows:
        assert len(set(row["candidate_item_ids"])) == 10
        assert row["labels"] == [float(item in row["truth_item_ids"]) for item in row["candidate_item_ids"]]
        assert row["candidate_scores"] is None
    missed = sum(not set(row["truth_item_ids"]) <= set(row["candidate_item_ids"]) for row in rows)
    assert 0 < missed < len(rows)


def test_training_requests_without_a_list_are_the_later_half(baskets: Built) -> None:
    positive = [one for one in random_events(600, seed=3) if one.type in DataConfig().label_types]
    until = datetime.fromisoformat(baskets.summary.train_until)
    instants = {(one.user_id, one.timestamp) for one in positive if one.timestamp < until}
    chosen = [row for row in baskets.rows("requests") if row["split"] == "train"]
    assert len(chosen) == len(instants) // 2
    assert min(row["timestamp"] for row in chosen) >= sorted(time for _, time in instants)[len(instants) // 2]


def test_the_split_is_by_time_and_of_the_right_size(baskets: Built) -> None:
    summary = baskets.summary
    bounds = [datetime.fromisoformat(text) for text in (summary.train_until, summary.validation_until)]
    for row in [*baskets.rows("requests"), *baskets.rows("events")]:
        place = sum(row["timestamp"] >= bound for bound in bounds)
        assert row.get("split", split_of(row, summary)) == ("train", "validation", "test")[place]
    positive = {(one.user_id, one.timestamp) for one in random_events(600, seed=3) if one.type != "view"}
    wanted = round(len(positive) * 0.1)
    assert wanted <= summary.requests["test"] <= wanted + 3
    assert wanted <= summary.requests["validation"] <= wanted + 3
    stored = json.loads((baskets.folder / "split.json").read_text(encoding="utf-8"))
    assert stored["requests"] == summary.requests
    assert stored["hash"] == summary.hash


def test_limits_keep_the_latest_requests(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", [event(f"e{n:03d}", f"u{n % 7}", f"i{n % 30:02d}", n) for n in range(300)])
    built = build(dataset, tmp_path / "out", max_requests=10, max_train_requests=15, train_lists=True)
    assert built.summary.requests == {"test": 10, "train": 15, "validation": 10}
    hours = [(row["timestamp"] - START) / timedelta(hours=1) for row in built.rows("requests")]
    assert hours == list(range(265, 300))
    assert built.summary.events == {"test": 10, "train": 280, "validation": 10}


def test_the_gap_belongs_to_no_split(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", [event(f"e{n:03d}", f"u{n % 7}", f"i{n % 30:02d}", n) for n in range(200)])
    built = build(dataset, tmp_path / "out", max_requests=10, gap_seconds=2 * 3600)
    rows = sorted(built.rows("events"), key=lambda row: row["timestamp"])
    # Test is the last 10 hours, two hours before it belong to none, then 10 hours of validation, then two again.
    expected = ["train"] * 176 + ["gap"] * 2 + ["validation"] * 10 + ["gap"] * 2 + ["test"] * 10
    assert [split_of(row, built.summary) for row in rows] == expected
    assert {row["split"] for row in built.rows("requests")} == {"validation", "test"}
    gap = datetime.fromisoformat(built.summary.test_from) - datetime.fromisoformat(built.summary.validation_until)
    assert gap == timedelta(hours=2)


def test_requests_of_one_instant_stay_together(tmp_path: Path) -> None:
    events = [event(f"e{n:03d}", f"u{n}", f"i{n % 30:02d}", n // 40) for n in range(200)]
    built = build(write(tmp_path / "data", events), tmp_path / "out", max_requests=10)
    splits: dict[datetime, set[str]] = {}
    for row in built.rows("events"):
        splits.setdefault(row["timestamp"], set()).add(split_of(row, built.summary))
    assert [len(names) for names in splits.values()] == [1] * 5
    assert built.summary.events == {"test": 40, "train": 120, "validation": 40}
    assert built.summary.requests["test"] == 10


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Twelve shown lists with answers, and one basket that answers none."""
    folder = tmp_path_factory.mktemp("lists")
    impressions = [
        shown(f"l{n:02d}", f"u{n % 3}", ["i03", "i01", "i02"], n, surface="home", context={"device": "phone"})
        for n in range(12)
    ]
    impressions[2] = shown("l02", "u2", ["i05"], 2)
    out_of_order = [
        ShownItem(item_id="i09", position=2, score=0.5),
        ShownItem(item_id="i08", position=1, score=0.25),
        ShownItem(item_id="i09", position=3, score=0.1),
    ]
    impressions[3] = shown("l03", "u0", [], 3)
    impressions[4] = type(impressions[4])(
        impression_id="l04", user_id="u1", timestamp=impressions[4].timestamp, shown=out_of_order
    )
    events = [event(f"e{n:02d}", f"u{n % 3}", "i01", n + 0.1, impression_id=f"l{n:02d}") for n in range(12)]
    events += [
        event("v", "u0", "i03", 0.2, "view", impression_id="l00"),
        event("x", "u0", "i07", 0.3, "purchase", impression_id="l00"),
        event("early", "u2", "i04", 1.5),
        event("lone", "u0", "i04", 5.5, context={"shop": "north"}),
        event("lost", "u0", "i04", 5.6, impression_id="never recorded"),
    ]
    shares = {"test_share": 0.2, "validation_share": 0.2}
    return build(write(folder / "data", events, impressions), folder / "out", train_lists=True, **shares)


def test_a_shown_list_is_a_request_with_its_answers(lists: Built) -> None:
    row = lists.requests()["l00"]
    assert row["candidate_item_ids"] == ["i03", "i01", "i02"]
    assert row["labels"] == [0.0, 1.0, 0.0]
    # The purchase of an item that was not in the list counts as truth, the view does not.
    assert row["truth_item_ids"] == ["i01", "i07"]
    assert (row["source"], row["surface"], dict(row["context"])) == ("impressions", "home", {"device": "phone"})
    assert row["history_item_ids"] == []
    assert lists.requests()["l06"]["history_item_ids"] == ["i01", "i03", "i07", "i01", "i04", "i04"]


def test_candidates_are_in_position_order_each_once_with_scores_when_all_have_one(lists: Built) -> None:
    row = lists.requests()["l04"]
    assert row["candidate_item_ids"] == ["i08", "i09"]
    assert row["candidate_scores"] == [0.25, 0.5]
    assert lists.requests()["l00"]["candidate_scores"] is None
    assert candidate_list(
        [{"item_id": "a", "position": 1, "score": 1.0}, {"item_id": "b", "position": 2, "score": None}]
    ) == (
        ["a", "b"],
        None,
    )


# A ranker moved c, which came in last, to the top: (item, shown place, its score, incoming place, proposer's score).
RERANKED = [("c", 1, 9.0, 3, 0.25), ("a", 2, 8.0, 1, 0.75), ("b", 3, 7.0, 2, 0.5)]
FIELDS = ("item_id", "position", "score", "incoming_position", "incoming_score")


@pytest.mark.parametrize(
    ("lost", "order", "scores"),
    [
        ({}, ["a", "b", "c"], [0.75, 0.5, 0.25]),
        ({"a": ("incoming_score",)}, ["a", "b", "c"], None),
        (dict.fromkeys("abc", ("incoming_score",)), ["a", "b", "c"], None),
        # The ranker's own scores are no substitute where the lines say that there was a ranker.
        ({"a": ("incoming_position",)}, ["c", "a", "b"], [0.25, 0.75, 0.5]),
        ({"a": ("incoming_position",), "b": ("incoming_score",)}, ["c", "a", "b"], None),
        (dict.fromkeys("abc", ("incoming_position",)), ["c", "a", "b"], [0.25, 0.75, 0.5]),
        # Another system's log: what was shown is what was proposed.
        (dict.fromkeys("abc", ("incoming_position", "incoming_score")), ["c", "a", "b"], [9.0, 8.0, 7.0]),
    ],
)
def test_candidates_of_a_reranked_list_are_what_came_in(
    lost: dict[str, tuple[str, ...]], order: list[str], scores: list[float] | None
) -> None:
    lines = [dict(zip(FIELDS, line, strict=True)) for line in RERANKED]
    for line in lines:
        line.update(dict.fromkeys(lost.get(str(line["item_id"]), ())))
    assert candidate_list(lines) == (order, scores)


def test_labels_follow_the_items_into_the_incoming_order(tmp_path: Path) -> None:
    lines = [
        ShownItem(item_id=f"i0{at}", position=place, score=score, incoming_position=came, incoming_score=given)
        for at, (_, place, score, came, given) in enumerate(RERANKED)
    ]
    lists = [msgspec.structs.replace(shown(f"l{n:02d}", "u", [], n), shown=lines) for n in range(20)]
    events = [event(f"e{n:02d}", "u", "i00", n + 0.1, impression_id=f"l{n:02d}") for n in range(20)]
    for row in build(write(tmp_path / "data", events, lists), tmp_path / "out").rows("requests"):
        assert row["candidate_item_ids"] == ["i01", "i02", "i00"]
        assert row["candidate_scores"] == [0.75, 0.5, 0.25]
        assert row["labels"] == [0.0, 0.0, 1.0]


def test_an_empty_list_stays_a_request_without_candidates(lists: Built) -> None:
    row = lists.requests()["l03"]
    assert (row["candidate_item_ids"], row["labels"], row["truth_item_ids"]) == ([], [], ["i01"])


def test_what_answers_no_list_becomes_a_basket(lists: Built) -> None:
    found = [row for row in lists.rows("requests") if row["source"] == "retriever"]
    # Two do; the earlier half of them has too little past to get candidates from.
    assert [(row["truth_item_ids"], dict(row["context"])) for row in found] == [(["i04"], {"shop": "north"})]
    assert lists.summary.sources == {"impressions": 12, "retriever": 1}


def test_only_lists_and_no_answers_still_split(tmp_path: Path) -> None:
    impressions = [shown(f"l{n:02d}", "u", ["i01", "i02"], n) for n in range(20)]
    built = build(write(tmp_path / "data", [], impressions), tmp_path / "out")
    assert built.summary.events == {}
    assert built.summary.requests == {"test": 2, "train": 16, "validation": 2}
    assert all(row["labels"] == [0.0, 0.0] for row in built.rows("requests"))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("a", "u", "i01", 0)],
        [event(f"e{n}", f"u{n}", "i01", 5) for n in range(9)],
        [event("v", "u", "i01", 0, "view")],
    ],
    ids=["none", "one", "one instant", "no positive"],
)
def test_too_few_requests_are_said_as_such(tmp_path: Path, events: list) -> None:
    with pytest.raises(DataError, match="too few requests to split by time"):
        build(write(tmp_path / "data", events), tmp_path / "out")
    assert not (tmp_path / "out" / "split.json").exists()
    assert not (tmp_path / "out" / ".spill").exists()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, baskets: Built) -> None:
    events = random_events(600, seed=3)
    again = build(write(tmp_path / "a", events), tmp_path / "fa", **BASKETS)
    shuffled = [events[place] for place in np.random.default_rng(1).permutation(len(events))]
    mixed = build(write(tmp_path / "b", shuffled), tmp_path / "fb", **BASKETS)
    files = [path.relative_to(baskets.folder) for path in baskets.folder.rglob("*.parquet")]
    assert {file.parts[0] for file in files} == {*TABLES, *FOLDERS, USERS_FILE}
    for file in files:
        expected = (baskets.folder / file).read_bytes()
        assert (again.folder / file).read_bytes() == expected
        assert (mixed.folder / file).read_bytes() == expected
    assert again.summary == mixed.summary == baskets.summary


@pytest.mark.parametrize("cut", ["train_until", "validation_until"])
def test_another_future_changes_no_request_before_it(tmp_path: Path, baskets: Built, cut: str) -> None:
    """Same numbers of requests and the same instants after the cut, but other users and items."""
    until = datetime.fromisoformat(getattr(baskets.summary, cut))
    events = random_events(600, seed=3)
    rotated = [
        one
        if one.timestamp < until
        else event(
            one.event_id,
            f"u{11 - int(one.user_id[1:])}",
            f"i{29 - int(one.item_id[1:]):02d}",
            (one.timestamp - START) / timedelta(hours=1),
            one.type,
        )
        for one in events
    ]
    other = build(write(tmp_path / "data", rotated), tmp_path / "out", **BASKETS)
    assert other.summary.hash != baskets.summary.hash

    def past(built: Built, name: str) -> list[dict[str, object]]:
        return [row for row in built.rows(name) if row["timestamp"] < until]

    for name in ("events", "requests"):
        assert past(other, name) == past(baskets, name)
    assert len(past(baskets, "requests")) > 100
    if cut == "train_until":
        assert other.rows("items") == baskets.rows("items")


def test_training_requests_do_not_see_later_training_events(tmp_path: Path, baskets: Built) -> None:
    """Candidates of the training requests stay when the training events after the first of them change."""
    first = min(row["timestamp"] for row in baskets.rows("requests"))
    events = random_events(600, seed=3)
    rotated = [
        one
        if one.timestamp < first
        else event(
            one.event_id, one.user_id, f"i{29 - int(one.item_id[1:]):02d}",
            (one.timestamp - START) / timedelta(hours=1), one.type,
        )
        for one in events
    ]  # fmt: skip
    other = build(write(tmp_path / "data", rotated), tmp_path / "out", **BASKETS)
    seen = {row["request_id"]: row for row in other.rows("requests")}
    same = [
        row for row in baskets.rows("requests")
        if row["split"] == "train" and row["history_item_ids"] == seen[row["request_id"]]["history_item_ids"]
    ]  # fmt: skip
    assert same
    for row in same:
        assert row["candidate_item_ids"] == seen[row["request_id"]]["candidate_item_ids"]


def test_a_missing_or_foreign_table_is_named(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", random_events(50, seed=1))
    table = pq.read_table(dataset / "interactions.parquet")
    pq.write_table(table.drop(["impression_id"]), dataset / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.parquet lacks the column impression_id"):
        build(dataset, tmp_path / "out")
    (dataset / "interactions.parquet").write_text("user,item")
    with pytest.raises(DataError, match=r"interactions\.parquet cannot be read"):
        build(dataset, tmp_path / "out")


def test_a_memory_limit_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'plenty' is not an amount of memory"):
        build(write(tmp_path / "data", random_events(50, seed=1)), tmp_path / "out", memory_limit="plenty")


def test_a_path_with_a_quote(tmp_path: Path) -> None:
    built = build(write(tmp_path / "l'été", random_events(60, seed=1)), tmp_path / "l'hiver")
    assert built.summary.events["train"] > 0


def test_rankers_read_the_folder(baskets: Built) -> None:
    from liverank.ranking.data import load_requests, load_training_data

    data = load_training_data(baskets.folder)
    assert data.data_hash == baskets.summary.hash
    assert len(data.events) == baskets.summary.events["train"]
    assert len(load_requests(baskets.folder, "test")) == baskets.summary.requests["test"]


@pytest.mark.slow
def test_uci_online_retail(tmp_path: Path) -> None:
    from liverank.data.ingest import ingest

    source = real_data("uci-online-retail/online_retail.parquet")
    ingest(DataConfig(source=str(source)), tmp_path / "data")
    built = build(tmp_path / "data", tmp_path / "out")
    assert built.summary.requests == {"test": 1000, "validation": 1000}
    assert sum(built.summary.events.values()) == pq.read_metadata(tmp_path / "data" / "interactions.parquet").num_rows
    hits = [bool(np.sum(row["labels"])) for row in built.rows("requests") if row["split"] == "test"]
    assert np.mean(hits) > 0.8
