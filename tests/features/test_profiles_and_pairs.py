"""Profiles as of a request and items met together, by hand and against brute force."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pyarrow as pa
import pytest

from liverank.events import Item
from liverank.features.profiles import item_bands
from tests.features.conftest import Built, at, build, event, shown, write
from tests.features.test_arrival import known, late_events

PRICES = {"i00": "1", "i01": "2", "i02": "3", "i03": "4", "i04": "dear", "i05": None, "i06": "nan"}


def items() -> list[Item]:
    return [
        Item(item_id=name, category=f"c{int(name[1:]) % 3}", attributes={} if price is None else {"price": price})
        for name, price in PRICES.items()
    ]


def test_bands_are_quantiles_of_the_items_and_what_is_no_price_has_none() -> None:
    rows = [[("price", price)] if price else [] for price in PRICES.values()]
    kind = pa.map_(pa.string(), pa.string())
    table = pa.table({"item_id": list(PRICES), "category": ["c"] * 7, "attributes": pa.array(rows, kind)})
    assert item_bands(table, "price", 2)["band"].to_pylist() == [0, 0, 1, 1, -1, -1, -1]
    assert item_bands(table, "size", 2)["band"].to_pylist() == [-1] * 7


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A user whose past is known by hand, and random late events of others in three parts."""
    folder = tmp_path_factory.mktemp("profiles")
    mine = [
        event("h1", "h", "i00", 0.5),
        event("h2", "h", "i03", 1),
        event("h3", "h", "i03", 2),
        event("h4", "h", "i01", 2.2),
        event("h5", "h", "i05", 2.4),
    ]
    lists = [shown("h0", "h", ["i01"], 0.5), shown("hh", "h", ["i01"], 3)]
    lists += [shown(f"z{n}", "z", ["i01"], 300 + n) for n in range(4)]
    config = {"price_bands": 2, "profile_events": 4, "profile_categories": 1, "cooccurrence_window": 2}
    dataset = write(folder / "data", [*mine, *late_events(150, 3)], lists, items=items())
    return build(dataset, folder / "out", part_events=40, **config)


def test_a_profile_sums_up_the_last_known_events(built: Built) -> None:
    rows = {row["request_id"]: row for row in built.rows("profiles")}
    assert [row["request_id"] for row in built.rows("profiles")] == [
        row["request_id"] for row in built.rows("requests")
    ]
    row = rows["hh"]
    assert row["events"] == 4
    # i03 twice and i01: categories c0 and c1; i05 (c2) has no price.
    assert (row["categories"], row["category_shares"]) == (["c0"], [0.5])
    assert row["price_band_shares"] == [1 / 3, 2 / 3]
    assert {hour: share for hour, share in enumerate(row["hour_shares"]) if share} == {1: 0.25, 2: 0.75}
    assert rows["h0"]["events"] == 0
    assert rows["h0"]["categories"] == []
    assert rows["h0"]["price_band_shares"] == [0.0, 0.0]


def test_pairs_of_the_days_before_training_ends_agree_with_brute_force(built: Built) -> None:
    rows = built.events()
    events = [*late_events(150, 3)]
    together: Counter[tuple[str, str]] = Counter()
    weight: Counter[tuple[str, str]] = Counter()
    sessions: dict[tuple[str, int], list[tuple[str, datetime]]] = {}
    for one in sorted(events, key=lambda one: (known(one), one.timestamp, one.event_id)):
        sessions.setdefault((one.user_id, rows[one.event_id]["session"]), []).append((one.item_id, known(one)))
    sessions["h", 0] = [("i00", at(0.5)), ("i03", at(1))]
    sessions["h", 1] = [("i03", at(2)), ("i01", at(2.2)), ("i05", at(2.4))]
    end = datetime.fromisoformat(built.summary.train_until).replace(hour=0, minute=0, second=0, microsecond=0)
    assert any(arrived >= end for met in sessions.values() for _, arrived in met)
    for met in sessions.values():
        for place, (item, arrived) in enumerate(met):
            for back in (1, 2):
                if arrived < end and place >= back and met[place - back][0] != item:
                    for pair in ((item, met[place - back][0]), (met[place - back][0], item)):
                        together[pair] += 1
                        weight[pair] += 1 / back
    found = {(row["item_id"], row["neighbour_id"]): row for row in built.rows("cooccurrence")}
    assert {pair: row["together"] for pair, row in found.items()} == dict(together)
    assert {pair: row["weight"] for pair, row in found.items()} == pytest.approx(dict(weight))
    order = [(row["item_id"], -row["weight"], row["neighbour_id"]) for row in built.rows("cooccurrence")]
    assert order == sorted(order)
