"""Every check fires on the fault it is for, with its severity, and only there."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from liverank.config import ValidationConfig
from liverank.errors import ConfigError
from liverank.validation.checks import CHECKS, configured
from liverank.validation.suites import SEVERITY, Measure, judge
from tests.validation.conftest import NOW, Judged, Tables, clean

Judge = Callable[..., Judged]

LINE = {"item_id": "i0", "position": 1, "score": None, "propensity": None}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
IDS = {"items": "item_id", "users": "user_id", "impressions": "impression_id", "interactions": "event_id"}

# Check, table, and what is wrong with a copy of the table's first row that has a new id.
FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("item-id-present", "items", {"item_id": "  "}),
    ("item-id-present", "items", {"item_id": "x" * 257}),
    ("item-id-unique", "items", {"item_id": "i0", "title": "another"}),
    ("user-id-present", "users", {"user_id": ""}),
    ("user-id-unique", "users", {"user_id": "u0"}),
    ("impression-id-present", "impressions", {"impression_id": None}),
    ("impression-id-unique", "impressions", {"impression_id": "l0"}),
    ("impression-user-present", "impressions", {"user_id": ""}),
    ("impression-time-present", "impressions", {"timestamp": None}),
    ("impression-time-past", "impressions", {"timestamp": NOW + timedelta(days=1)}),
    ("impression-time-plausible", "impressions", {"timestamp": LONG_AGO}),
    ("shown-present", "impressions", {"shown": []}),
    ("shown-present", "impressions", {"shown": None}),
    ("shown-ids-present", "impressions", {"shown": [{**LINE, "item_id": None}]}),
    ("shown-ids-unique", "impressions", {"shown": [LINE, {**LINE, "position": 2}]}),
    ("shown-positions", "impressions", {"shown": [{**LINE, "position": 0}]}),
    ("shown-incoming", "impressions", {"shown": [{**LINE, "incoming_position": 0}]}),
    ("shown-propensities", "impressions", {"shown": [{**LINE, "propensity": 0.0}]}),
    ("shown-propensities", "impressions", {"shown": [{**LINE, "propensity": 1.5}]}),
    ("event-id-present", "interactions", {"event_id": ""}),
    ("event-id-unique", "interactions", {"event_id": "e0", "item_id": "i3"}),
    ("event-user-present", "interactions", {"user_id": None}),
    ("event-item-present", "interactions", {"item_id": ""}),
    ("event-item-known", "interactions", {"item_id": "i999"}),
    ("event-type-known", "interactions", {"type": "clcik"}),
    ("event-type-present", "interactions", {"type": None}),
    ("event-type-present", "interactions", {"type": ""}),
    ("event-time-present", "interactions", {"timestamp": None}),
    ("event-time-past", "interactions", {"timestamp": NOW + timedelta(seconds=301)}),
    ("event-time-plausible", "interactions", {"timestamp": datetime(1989, 12, 31, tzinfo=UTC)}),
    ("event-arrival-past", "interactions", {"received_at": NOW + timedelta(seconds=301)}),
    ("event-value-finite", "interactions", {"value": math.inf}),
    ("event-value-finite", "interactions", {"value": math.nan}),
]


def spoilt() -> Tables:
    """The clean tables with every fault appended."""
    tables = clean()
    for place, (_, table, values) in enumerate(FAULTS):
        tables[table].append({**tables[table][0], IDS[table]: f"fault-{place}", **values})
    return tables


def test_clean_data_passes_every_check(judge: Judge) -> None:
    judged = judge(clean())
    assert judged.result.ok
    assert judged.not_passed() == {}
    assert {check.name for check in judged.result.checks} == {check.name for check in CHECKS}
    assert judged.result.set_aside == 0


def test_every_row_check_has_a_fault_that_fires_it() -> None:
    rows = {check.name for check in CHECKS if check.of_rows and check.severity != "warn"}
    assert rows == {name for name, _, _ in FAULTS}


def test_each_fault_fires_its_check_alone_and_only_its_row_is_set_aside(judge: Judge) -> None:
    judged = judge(spoilt(), max_set_aside=1.0)
    for table in IDS:
        accepted, aside = judged.rows(table)
        assert len(accepted) == len(clean()[table])
        assert [row["reasons"] for row in aside] == [[name] for name, of, _ in FAULTS if of == table]
    counts = Counter(name for name, _, _ in FAULTS)
    assert judged.result.reasons == counts
    assert judged.not_passed() == dict.fromkeys(counts, "set-aside")
    assert {name: judged.outcome(name)[1] for name in counts} == counts
    assert judged.result.ok


def test_warnings_keep_the_rows(judge: Judge) -> None:
    tables = clean()
    tables["items"][1]["title"] = None
    tables["impressions"][0]["shown"][2]["item_id"] = "i999"
    tables["interactions"][5]["impression_id"] = "lost"
    judged = judge(tables)
    assert judged.not_passed() == {
        "item-title-present": "warn",
        "shown-items-known": "warn",
        "event-impression-known": "warn",
    }
    assert judged.result.ok
    assert judged.result.set_aside == 0
    assert judged.result.summary["warnings"] == ["item-title-present", "shown-items-known", "event-impression-known"]


def test_a_value_of_nothing_is_no_negative_one(judge: Judge) -> None:
    tables = clean()
    tables["interactions"][3]["value"] = 0.0
    tables["interactions"][4]["value"] = None
    assert judge(tables).not_passed() == {}


def test_the_first_occurrence_is_kept(judge: Judge) -> None:
    tables = clean()
    tables["interactions"] = [*tables["interactions"], {**tables["interactions"][4], "item_id": "i1"}]
    accepted, aside = judge(tables).rows("interactions")
    assert [row["item_id"] for row in accepted if row["event_id"] == "e4"] == ["i0"]
    assert [row["item_id"] for row in aside] == ["i1"]


def test_an_item_set_aside_is_not_known(judge: Judge) -> None:
    tables = clean()
    tables["items"].append({"item_id": "y" * 300, "title": "too long", "attributes": []})
    tables["interactions"][0]["item_id"] = "y" * 300
    judged = judge(tables)
    assert judged.outcome("event-item-known") == ("set-aside", 1)


def test_the_tolerance_of_the_future_is_its_last_good_second(judge: Judge) -> None:
    tables = clean()
    tables["interactions"][0]["timestamp"] = NOW + timedelta(seconds=300)
    assert judge(tables).outcome("event-time-past") == ("pass", 0)
    assert judge(tables, max_future_seconds=299).outcome("event-time-past") == ("set-aside", 1)


def test_a_row_with_two_faults_is_set_aside_once_for_two_reasons(judge: Judge) -> None:
    tables = clean()
    tables["interactions"].append({**tables["interactions"][0], "event_id": "e99", "item_id": "?", "type": "?"})
    judged = judge(tables)
    assert judged.rows("interactions")[1][0]["reasons"] == ["event-item-known", "event-type-known"]
    assert judged.result.set_aside == 1
    assert judged.result.reasons == {"event-item-known": 1, "event-type-known": 1}


@pytest.mark.parametrize(
    ("config", "name", "detail"),
    [
        ({"min_interactions": 13}, "interactions-volume", "12 accepted, 13 needed."),
        ({"min_items": 5}, "items-volume", "4 accepted, 5 needed."),
    ],
)
def test_too_little_data_stops(judge: Judge, config: dict[str, int], name: str, detail: str) -> None:
    judged = judge(clean(), **config)
    assert not judged.result.ok
    assert [(check.name, check.detail) for check in judged.result.stopped_by] == [(name, detail)]
    assert judge(clean(), severities={name: "warn"}, **config).result.ok


def test_too_large_a_share_set_aside_stops_and_counts_what_ingest_rejected(judge: Judge) -> None:
    tables = clean()
    for row in tables["interactions"][:3]:
        row["type"] = "?"
    rejected = [{"table": "interactions", "row": "{}", "reason": "no user"}] * 3
    # (3 set aside + 3 rejected) of 15.
    assert judge(tables, rejected, max_set_aside=0.4).result.ok
    judged = judge(tables, rejected, max_set_aside=0.39)
    assert [check.name for check in judged.result.stopped_by] == ["set-aside-share"]
    assert "40.0%" in judged.result.stopped_by[0].detail


def test_severities_can_be_overridden(judge: Judge) -> None:
    tables = clean()
    tables["interactions"][2]["type"] = "hover"
    judged = judge(tables, severities={"event-type-known": "warn"})
    assert judged.outcome("event-type-known") == ("warn", 1)
    assert len(judged.rows("interactions")[0]) == 12
    judged = judge(tables, severities={"event-type-known": "stop"})
    assert judged.outcome("event-type-known") == ("stop", 1)
    assert not judged.result.ok
    assert [row["reasons"] for row in judged.rows("interactions")[1]] == [["event-type-known"]]


def test_a_misspelt_check_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no check 'event-id-uniqe'; did you mean 'event-id-unique'\?"):
        configured(ValidationConfig(severities={"event-id-uniqe": "warn"}).severities)
    with pytest.raises(ConfigError, match="the checks are items-schema"):
        configured({"zzzzzzzzzz": "warn"})


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("items-schema", "warn"),
        ("items-volume", "set-aside"),
        ("rows-expressed", "warn"),
        ("event-type-present", "warn"),
    ],
)
def test_a_severity_that_a_check_cannot_have_is_refused(name: str, severity: Any) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot be '{severity}'"):
        configured({name: severity})


def test_suites_are_plain_json_and_read_back() -> None:
    import great_expectations as gx

    checks = [check for check in CHECKS if check.table == "interactions" and check.kind == "row"]
    measures = {check.name: Measure(0, rows=12) for check in checks}
    text = json.dumps(judge("interactions", checks, measures)[1])
    again = gx.ExpectationSuite(**json.loads(text))
    assert [one.column for one in again.expectations] == [check.name for check in checks]
    assert [one.severity.value for one in again.expectations] == [SEVERITY[check.severity] for check in checks]
