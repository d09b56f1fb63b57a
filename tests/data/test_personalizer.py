"""Azure Personalizer's logs: what was shown with its propensity, rewards, actions, and decisions that nobody saw."""

from __future__ import annotations

import copy

import pytest

from tests.data.reading import at, json_lines, read, refused, rows, told

DECISION = {
    "_label_cost": -0.5, "_label_probability": 0.85, "_label_Action": 3, "_labelIndex": 2,
    "o": [{"v": 0.5, "EventId": "e1", "ActionTaken": False}], "Timestamp": "2021-02-04T16:31:29.2460000Z",
    "Version": "1", "EventId": "e1", "a": [3, 2, 1], "p": [0.85, 0.1, 0.05],
    "c": {
        "FromUrl": [{"timeofday": "Afternoon", "user_id": "cathy"}], "_synthetic": False,
        "_multi": [
            {"_tag": "Latte", "i": {"constant": 1, "id": "Latte"}, "j": [{"type": "hot", "organic": "no"}]},
            {"_tag": "Mocha", "i": {"constant": 1, "id": "Mocha"}, "j": [{"type": "cold"}]},
            {"i": {"id": "Cold brew"}, "j": [{"title": "Cold brew, slow", "type": "cold"}]},
        ],
    },
}  # fmt: skip


def decision(**changes):
    return {**copy.deepcopy(DECISION), **changes}


def test_a_decision_its_reward_and_its_actions(tmp_path):
    source = json_lines(tmp_path / "log.json", DECISION)
    assert told(source) == "personalizer"
    found = read(source)
    moment = at(2021, 2, 4, 16, 31, 29, 246000)
    assert rows(found, "impressions", "impression_id", "user_id", "timestamp") == [("e1", "cathy", moment)]
    (shown,) = found.tables["impressions"]["shown"][0].as_py()
    assert (shown["item_id"], shown["position"], shown["propensity"]) == ("Cold brew", 1, 0.85)
    assert found.tables["impressions"]["context"][0].as_py() == [
        ("FromUrl.timeofday", "Afternoon"), ("FromUrl.user_id", "cathy"),
    ]  # fmt: skip
    columns = ("event_id", "user_id", "item_id", "type", "value", "timestamp", "impression_id")
    assert rows(found, "interactions", *columns) == [("e1:1", "cathy", "Cold brew", "click", 0.5, moment, "e1")]
    assert rows(found, "items", "item_id", "title", "attributes") == [
        ("Latte", "", [("type", "hot"), ("organic", "no")]),
        ("Mocha", "", [("type", "cold")]),
        ("Cold brew", "Cold brew, slow", [("type", "cold")]),
    ]


def test_no_reward_is_no_event_and_a_negative_one_a_dislike(tmp_path):
    found = read(json_lines(tmp_path / "log.json", decision(_label_cost=-0.0), decision(_label_cost=1, EventId="e2")))
    assert found.rows()["impressions"] == 2
    assert rows(found, "interactions", "impression_id", "type", "value") == [("e2", "dislike", 1.0)]


def test_several_slots_show_several_actions(tmp_path):
    slots = [
        {"_label_cost": 0, "_id": "s1", "_a": [1, 0], "_p": [0.6, 0.4], "_o": []},
        {"_label_cost": -1, "_id": "s2", "_a": [2], "_p": [1.0], "_o": [{"v": 1}]},
    ]
    plain = {
        name: value for name, value in DECISION.items() if not name.startswith("_label") and name not in ("a", "p")
    }
    found = read(json_lines(tmp_path / "log.json", {**plain, "_outcomes": slots}))
    shown = found.tables["impressions"]["shown"][0].as_py()
    assert [(entry["item_id"], entry["position"], entry["propensity"]) for entry in shown] == [
        ("Mocha", 1, 0.6), ("Cold brew", 2, 1.0),
    ]  # fmt: skip
    assert rows(found, "interactions", "event_id", "item_id", "value") == [("e1:2", "Cold brew", 1.0)]


def test_who_the_user_was(tmp_path):
    nameless = decision(c={"Device": {"id": "d7"}, "_multi": DECISION["c"]["_multi"]})
    source = json_lines(tmp_path / "log.json", nameless)
    assert rows(read(source), "impressions", "user_id") == [("e1",)]
    assert any("1 decisions name no user" in note for note in read(source).notes)
    named = read(source, format="personalizer", mapping={"impressions": {"user_id": "c.Device.id"}})
    assert rows(named, "impressions", "user_id") == [("d7",)]


def test_actions_without_a_name_are_known_by_their_features(tmp_path):
    actions = [{"j": [{"type": "hot"}]}, {"j": [{"type": "cold"}]}, {"j": [{"type": "hot"}]}]
    found = read(json_lines(tmp_path / "log.json", decision(c={"_multi": actions})))
    items = rows(found, "items", "item_id", "attributes")
    assert [pairs for _, pairs in items] == [[("type", "hot")], [("type", "cold")]]
    assert found.tables["impressions"]["shown"][0].as_py()[0]["item_id"] == items[0][0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (decision(DeferredAction=True, o=[]), "a deferred decision that was never activated: nothing was shown"),
        (decision(_skipLearn=True), "a deferred decision that was never activated: nothing was shown"),
        (decision(_labelIndex=7), "the label names an action that the decision did not have"),
        (decision(_label_probability=0), "the label's probability is not above 0 and at most 1"),
        (decision(_label_cost="x"), "the label has no cost"),
        (decision(c={}), "c has no actions under _multi"),
        (decision(Timestamp="then"), "Timestamp is no ISO time"),
        (decision(EventId=None), "EventId is missing"),
        ({"RewardValue": 1, "EventId": "e9"}, "a reward without its decision"),
        ('{"_label_cost": 0', "is not a JSON object of this format"),
    ],
)
def test_lines_that_are_no_impression_keep_their_reason(tmp_path, line, reason):
    found = read(json_lines(tmp_path / "log.json", DECISION, line))
    ((_, file, number, told_reason),) = refused(found)
    assert (file, number, found.rows()["impressions"]) == ("log.json", 2, 1)
    assert told_reason.startswith(reason)


def test_a_deferred_decision_that_was_activated_counts(tmp_path):
    seen = decision(DeferredAction=True, o=[{"EventId": "e1", "ActionTaken": True}])
    assert read(json_lines(tmp_path / "log.json", seen)).rows()["impressions"] == 1
