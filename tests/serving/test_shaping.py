"""Rules and exploration through a real server: what is shown, what is said of it, what is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from liverank.shaping.arranging import arrange
from liverank.shaping.exploration import Draw
from liverank.shaping.listed import Listed
from liverank.shaping.rules import Cap, Diversity, Exploration, NewItems, Rules, merged
from serving.ordering import ranked
from tests.serving.conftest import Server, click, ids
from tests.serving.test_rank import impressions, rank

ITEMS = [
    {"item_id": "a", "text": "apple", "category": "fruit", "attributes": {"brand": "p"}},
    {"item_id": "b", "text": "apple pie", "category": "cake", "attributes": {"brand": "p"}},
    {"item_id": "c", "text": "cherry", "category": "fruit", "attributes": {"brand": "q"}},
    {"item_id": "d", "text": "date", "category": "fruit", "attributes": {"brand": "q"}},
    {"item_id": "e", "category": "cake"},
]
EXPLORATION = {"share": 0.5, "temperature": 1.0, "keep": 1, "positions": 2, "salt": "s"}
SURFACES = {
    "shop": {"exclude": ["b"], "exclude_types": ["purchase"], "pin": ["e", "elsewhere"]},
    "news": {"exploration": EXPLORATION, "caps": [{"most": 1, "within": 2}]},
    "default": {"boost": [{"attribute": "brand", "value": "q", "add": 5}]},
}


@pytest.fixture(scope="module")
def shaped(servers: Callable[..., Server]) -> Server:
    server = servers(f"serving.surfaces={json.dumps(SURFACES)}").start()
    with server.client() as client:
        assert client.put("/v1/items", json={"items": ITEMS}).status_code == 200
    return server


@pytest.fixture
def shop(shaped: Server) -> Iterator[httpx.Client]:
    with shaped.client() as client:
        yield client


def asked(client: httpx.Client, surface: str = "plain", user: str = "u", **fields: Any) -> httpx.Response:
    return rank(client, user, "abcde", surface=surface, **fields)


def bought(number: int, user: str, item: str) -> dict[str, Any]:
    return click(number, user, item) | {"type": "purchase"}


# Rules of the request. `plain` is no surface of the configuration: the default's boost of q holds there.


def test_what_the_user_had_is_left_out(shop: httpx.Client) -> None:
    shop.post("/v1/events", json=[bought(1, "buyer", "c"), click(2, "buyer", "a")])
    answer = asked(shop, user="buyer", rules={"exclude_types": ["purchase"]})
    assert ids(answer) == list("dabe")
    assert ids(asked(shop, user="buyer", rules={"exclude_types": ["purchase", "click"]})) == list("dbe")
    assert ids(asked(shop, user="another", rules={"exclude_types": ["purchase"]})) == list("cdabe")
    assert answer.json()["degraded"] == []


def test_caps_count_categories_and_attributes_of_store_and_request(shop: httpx.Client) -> None:
    assert ids(asked(shop, rules={"caps": [{"most": 1, "within": 2}]})) == list("cbdae")
    brands = {"caps": [{"attribute": "brand", "most": 1, "within": 2}]}
    assert ids(asked(shop, rules=brands)) == list("cadbe")
    candidates = ["c", "d", {"item_id": "x", "attributes": {"brand": "q"}}, {"item_id": "d2", "category": "fruit"}]
    assert ids(rank(shop, candidates=candidates, surface="plain", rules=brands)) == ["c", "d2", "d", "x"]


def test_a_boost_moves_what_it_names_and_leaves_the_score(shop: httpx.Client) -> None:
    answer = asked(shop, rules={"boost": [{"item_id": "e", "multiply": 1e6}, {"item_id": "c", "add": -50}]})
    assert ids(answer) == list("edabc")
    assert {line["score"] for line in answer.json()["ranking"]} == {0.5}


def test_pins_take_positions(shop: httpx.Client) -> None:
    assert ids(asked(shop, rules={"pin": [{"item_id": "e", "position": 2}, "a"]})) == list("aecdb")


def test_new_items_are_those_with_a_text_and_no_training_event(shop: httpx.Client) -> None:
    candidates = ["e", "unheard-of", {"item_id": "told", "text": "a kettle"}, "a"]
    rules = {
        "new": {"least": 1, "within": 2},
        "boost": [{"item_id": "e", "add": 9}, {"item_id": "unheard-of", "add": 9}],
    }
    assert set(ids(rank(shop, candidates=candidates, surface="plain", rules=rules))[:2]) == {"told", "a"}


def test_diversity_reads_the_texts_of_known_and_unknown_items(shop: httpx.Client) -> None:
    candidates = ["a", "b", {"item_id": "told", "text": "another apple"}, {"item_id": "kettle", "text": "kettle"}]
    for method in ("mmr", "dpp"):
        rules = {"diversity": {"method": method, "relevance": 0.1}}
        assert ids(rank(shop, candidates=candidates, surface="plain", rules=rules))[:2] == ["a", "kettle"]


def test_a_rule_that_cannot_hold_is_named_in_answer_impression_and_metrics(shop: httpx.Client) -> None:
    rules = {"caps": [{"most": 1, "within": 4}]}
    answer = asked(shop, user="degraded", rules=rules).json()
    why = "rules: at most 1 of a category within 4: holds for the first 2, the candidates allow no more"
    assert answer["degraded"] == [why]
    assert len(answer["ranking"]) == 5
    assert impressions(shop, "degraded")[0]["degraded"] == [why]
    assert 'liverank_degraded_total{reason="rules"}' in shop.get("/metrics").text


def test_a_history_that_was_not_read_is_said(shaped: Server, shop: httpx.Client) -> None:
    (shaped.workspace / "slow").write_text("0.5")
    answer = asked(shop, deadline_ms=20, rules={"exclude_types": ["purchase"], "exclude": ["a"]})
    (shaped.workspace / "slow").unlink()
    assert "a" not in ids(answer)
    assert answer.json()["degraded"] == [
        "deadline: incoming order",
        "rules: exclude_types: the user's history was not read",
    ]


def test_costs_come_with_reasons(shop: httpx.Client) -> None:
    shop.post("/v1/events", json=click(1, "costly", "a"))
    answer = asked(shop, user="costly", explain=True, rules={"exclude": ["a"], "pin": ["e"]}).json()
    assert list(answer["costs"]) == ["exclude", "boost", "pin"]
    # One score of 1.5, four of 0.5: a lies 2.5 deviations above the others, which lie at 0.
    assert answer["costs"] == pytest.approx({"exclude": 2.5, "boost": 0, "pin": 0})
    assert "costs" not in asked(shop, user="costly").json()


# Rules of the surface.


def test_a_surface_has_its_rules_and_the_request_adds_to_them(shop: httpx.Client) -> None:
    shop.post("/v1/events", json=[bought(1, "regular", "c")])
    assert ids(asked(shop, "shop", "regular")) == list("ead")
    answer = asked(shop, "shop", "regular", rules={"exclude": ["a"], "pin": ["d", "b"]})
    assert ids(answer) == list("de")
    assert answer.json()["degraded"] == ["rules: pin 'b' is excluded"]


def test_rules_add_up_and_single_ones_are_replaced() -> None:
    surface = Rules(exclude=["a"], pin=["p", "q"], new=NewItems(least=0.1), diversity=Diversity(depth=3))
    request = Rules(exclude=["b"], pin=["q"], diversity=Diversity(depth=5))
    assert merged(surface, request) == Rules(
        exclude=["a", "b"], pin=["q", "p"], new=NewItems(least=0.1), diversity=Diversity(depth=5)
    )
    assert merged(Rules(), Rules()).empty


def test_plain_rules_need_no_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.integers(0, 4, 12).astype(np.float32)
        items = [f"i{at}" for at in range(12)]
        rules = Rules(exclude=[*rng.choice(items, 3), "elsewhere"], pin=[])
        free = [item for item in items if item not in rules.exclude]
        rules = Rules(exclude=rules.exclude, pin=rng.choice(free, 2, replace=False).tolist())
        assert rules.plain
        given = Listed(items, scores)
        found = arrange(given, rules, 6, given.among(rules.exclude))
        assert [items[row] for row in found.rows] == [line.item_id for line in ranked(scores, items, rules, 6)]


# Exploration.


def test_what_is_drawn_is_recorded_with_its_propensity(shop: httpx.Client) -> None:
    answers = [asked(shop, "news", "reader").json() for _ in range(60)]
    records = {record["impression_id"]: record for record in impressions(shop, "reader")}
    exploration = Exploration(**EXPLORATION)  # type: ignore[arg-type]
    category = {item["item_id"]: item["category"] for item in ITEMS}
    given = Listed(list("abcde"), np.full(5, 0.5, np.float32), lambda _: [category[item] for item in "abcde"])
    lists = set()
    for answer in answers:
        lines = answer["ranking"]
        lists.add("".join(line["item_id"] for line in lines))
        assert lines[0]["item_id"] == "a"
        assert category[lines[0]["item_id"]] != category[lines[1]["item_id"]]
        draw = Draw(exploration, answer["impression_id"])
        again = arrange(given, Rules(caps=[Cap(most=1, within=2)]), None, given.among(()), draw)
        assert [given.item_ids[row] for row in again.rows] == [line["item_id"] for line in lines]
        assert again.propensities == [line["propensity"] for line in lines]
        shown = records[answer["impression_id"]]["shown"]
        assert [line["propensity"] for line in shown] == [line["propensity"] for line in lines]
    assert len(lists) > 3
    assert any(line["propensity"] < 1 for answer in answers for line in answer["ranking"])


def test_elsewhere_nothing_is_drawn(shop: httpx.Client) -> None:
    assert all("propensity" not in line for line in asked(shop, "shop").json()["ranking"])


# What is refused.

BAD: list[tuple[dict[str, Any], str]] = [
    ({"caps": [{"most": 2**70}]}, "$.rules.caps[0].most"),
    ({"pin": [{"item_id": "tea1", "position": 2**31}]}, "$.rules.pin[0].position"),
    ({"exclude_types": ["devoured"]}, "'devoured' has no weight in data.event_weights"),
    ({"pin": ["a", {"item_id": "a", "position": 2}]}, "'a' twice"),
    ({"pin": [{"item_id": "a", "position": 2}, {"item_id": "b", "position": 2}]}, "two items on position 2"),
    ({"pin": [{"item_id": "a", "position": 0}]}, "$.rules.pin[0].position"),
    ({"boost": [{"item_id": "a"}]}, "either 'add' or 'multiply'"),
    ({"boost": [{"item_id": "a", "add": 1, "multiply": 2}]}, "either 'add' or 'multiply'"),
    ({"boost": [{"attribute": "brand", "add": 1}]}, "either 'item_id', or 'attribute' and 'value'"),
    ({"boost": [{"item_id": "a", "attribute": "brand", "value": "p", "add": 1}]}, "either 'item_id', or"),
    ({"boost": [{"item_id": "a", "multiply": 0}]}, "$.rules.boost[0].multiply"),
    ({"caps": [{"within": 2}]}, "missing required field `most`"),
    ({"caps": [{"most": 0}]}, "$.rules.caps[0].most"),
    ({"caps": [{"most": 1}] * 9}, "length <= 8"),
    ({"boost": [{"item_id": "a", "add": 1e308}]}, "$.rules.boost[0].add"),
    ({"new": {"least": 1.5}}, "$.rules.new.least"),
    ({"diversity": {"method": "random"}}, "$.rules.diversity.method"),
    ({"diversity": {"depth": 0}}, "$.rules.diversity.depth"),
    ({"diversity": {"depth": 201}}, "$.rules.diversity.depth"),
    ({"pin": ["a"] * 2001}, "length <= 2000 - at `$.rules.pin`"),
]


@pytest.mark.parametrize(("rules", "says"), BAD)
def test_rules_without_a_meaning_are_refused(shop: httpx.Client, rules: dict[str, Any], says: str) -> None:
    answer = asked(shop, rules=rules)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
