"""Suites of the user: the verdicts are Great Expectations' own, and mistakes are said in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from liverank.config import Config, ValidationConfig
from liverank.errors import ConfigError
from liverank.validation.expecting import BY_VALUE
from liverank.validation.own_suites import expectations, read_suites
from liverank.validation.suites import evaluate
from pipelines.arguments import absolute
from tests.validation.conftest import NOW, Judged, Tables, clean

Judge = Callable[..., Judged]


def one(kind: str, severity: str = "warning", meta: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "meta": meta or {}}


def suite(table: str, *listed: dict[str, Any]) -> dict[str, Any]:
    return {"name": table, "expectations": list(listed)}


def varied() -> Tables:
    """Events with values, sessions and contexts of all kinds, some missing."""
    tables = clean()
    start = tables["interactions"][0]["timestamp"]
    tables["interactions"] = [
        {
            "event_id": f"e{n:03}",
            "user_id": f"u{n % 7}",
            "item_id": f"i{n % 4}",
            "type": ("click", "view", "cart")[n % 3],
            "timestamp": start.replace(minute=n % 60, second=n // 60),
            "value": None if n % 10 == 0 else float(n % 13) - 2,
            "session_id": None if n % 5 == 0 else f"{'s' if n % 4 else 'S'}-{n % 11}\n"[: 3 + n % 3],
            "impression_id": None,
            "context": [("device", ("phone", "desk")[n % 2])] if n % 3 else [],
        }
        for n in range(120)
    ]
    return tables


COLUMN = "column_values_to_"
COMPARED = [
    one(f"{COLUMN}not_be_null", column="session_id"),
    one(f"{COLUMN}not_be_null", column="session_id", mostly=0.8),
    one(f"{COLUMN}not_be_null", column="session_id", mostly=0.81),
    one(f"{COLUMN}be_null", column="session_id"),
    one(f"{COLUMN}be_in_set", column="type", value_set=["click", "view"]),
    one(f"{COLUMN}be_in_set", column="type", value_set=["click", "view"], mostly=0.6),
    one(f"{COLUMN}not_be_in_set", column="type", value_set=["cart"]),
    one(f"{COLUMN}be_between", column="value", min_value=0, max_value=9),
    one(f"{COLUMN}be_between", column="value", min_value=-2, strict_min=True),
    one(f"{COLUMN}be_between", column="timestamp", max_value={"$PARAMETER": "now"}),
    one(f"{COLUMN}match_regex", column="session_id", regex=r"^s-\d+$"),
    one(f"{COLUMN}not_match_regex", column="session_id", regex=r"\s"),
    one(f"{COLUMN}match_regex_list", column="session_id", regex_list=["^s", "9"], match_on="any"),
    one("column_value_lengths_to_be_between", column="session_id", min_value=4),
    one("column_value_lengths_to_equal", column="event_id", value=4),
    one("column_pair_values_to_be_equal", column_A="type", column_B="session_id"),
    one(
        "column_pair_values_to_be_equal",
        column_A="type",
        column_B="session_id",
        ignore_row_if="either_value_is_missing",
    ),
    one("select_column_values_to_be_unique_within_record", column_list=["type", "session_id", "item_id"]),
    one(f"{COLUMN}be_unique", column="session_id"),
    one("compound_columns_to_be_unique", column_list=["user_id", "item_id"]),
    one(f"{COLUMN}be_between", column="value", min_value=0, row_condition='type=="cart"', condition_parser="pandas"),
    one("column_mean_to_be_between", column="value", min_value=3, max_value=4),
    one("column_median_to_be_between", column="value", max_value=3),
    one("column_stdev_to_be_between", column="value", max_value=3),
    one("column_sum_to_be_between", column="value", max_value=10),
    one("column_min_to_be_between", column="value", min_value=-1),
    one("column_max_to_be_between", column="value", max_value=10),
    one(
        "column_quantile_values_to_be_between",
        column="value",
        quantile_ranges={"quantiles": [0.5], "value_ranges": [[0, 1]]},
    ),
    one("column_unique_value_count_to_be_between", column="type", max_value=2),
    one("column_proportion_of_unique_values_to_be_between", column="session_id", max_value=0.1),
    one("column_distinct_values_to_equal_set", column="type", value_set=["click", "view", "cart"]),
    one("column_most_common_value_to_be_in_set", column="type", value_set=["view"]),
    one("table_row_count_to_be_between", min_value=121),
    one("table_row_count_to_equal", value=120),
    one("column_to_exist", column="value"),
]


def test_the_verdicts_and_counts_are_those_of_the_whole_frame(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    import great_expectations as gx

    # Few values at once, so that several frames are judged.
    monkeypatch.setattr("liverank.validation.expecting.CHUNK", 7)
    own = expectations([suite("interactions", *COMPARED)])
    # On the whole frame, judged before anything was set aside.
    quiet = {entry.check.name: "warn" for entry in own}
    judged = judge(varied(), suites=(suite("interactions", *COMPARED),), severities=quiet)
    frame = __import__("pyarrow.parquet").parquet.read_table(judged.source / "interactions.parquet").to_pandas()
    for entry in own:
        (result,) = evaluate(gx.ExpectationSuite(name="x", expectations=[entry.built()]), frame, {"now": NOW})
        (found,) = [check for check in judged.result.checks if check.name == entry.check.name]
        assert (found.outcome == "pass") == result["success"], entry.spec
        if entry.check.of_rows and not result["success"]:
            assert found.failing == result["result"]["unexpected_count"], entry.spec
            assert found.total == result["result"]["element_count"], entry.spec


def test_both_ways_of_judging_are_compared() -> None:
    kinds = {entry["type"] for entry in COMPARED}
    assert len(kinds & BY_VALUE) >= 10
    assert len(kinds - BY_VALUE) >= 12


def test_failing_rows_are_set_aside_with_the_reason(judge: Judge) -> None:
    listed = suite(
        "interactions",
        one(
            f"{COLUMN}be_between",
            column="value",
            min_value=0,
            meta={"check": "value-positive", "about": "Never below 0."},
        ),
        one(f"{COLUMN}be_in_set", "info", column="context.device", value_set=["phone"]),
        one(f"{COLUMN}be_unique", meta={"check": "session-alone"}, column="session_id", mostly=0.0),
    )
    judged = judge(varied(), suites=(listed,))
    _, aside = judged.rows("interactions")
    # 120 values n % 13 - 2 below zero where n % 13 < 2, but where they are missing.
    expected = [f"e{n:03}" for n in range(120) if n % 13 < 2 and n % 10]
    assert sorted(row["event_id"] for row in aside) == expected
    assert {tuple(row["reasons"]) for row in aside} == {("value-positive",)}
    assert judged.result.reasons == {"value-positive": len(expected)}
    desks = [n for n in range(120) if n % 3 and n % 2 and f"e{n:03}"]
    assert judged.outcome("interactions-context.device-values-to-be-in-set") == ("warn", len(desks))
    assert judged.outcome("session-alone")[0] == "pass"
    assert "Never below 0." in judged.page


def test_an_item_set_aside_by_a_suite_takes_its_events_along(judge: Judge) -> None:
    listed = suite("items", one(f"{COLUMN}not_be_in_set", column="item_id", value_set=["i3"]))
    judged = judge(clean(), suites=(listed,))
    assert len(judged.rows("items")[1]) == 1
    assert judged.outcome("event-item-known") == ("set-aside", 3)


def test_severities(judge: Judge) -> None:
    aggregate = one("column_mean_to_be_between", "critical", column="value", max_value=0)
    rows = one(f"{COLUMN}be_in_set", column="type", value_set=["x"], meta={"severity": "warn", "check": "odd"})
    judged = judge(clean(), suites=(suite("interactions", aggregate, rows),))
    assert judged.not_passed() == {"interactions-value-mean-to-be-between": "stop", "odd": "warn"}
    assert "Observed: 1.0" in judged.result.stopped_by[0].detail
    judged = judge(clean(), suites=(suite("interactions", rows),), severities={"odd": "stop"})
    assert not judged.result.ok
    # A table as a whole has no rows to set aside.
    (mild,) = expectations([suite("items", one("column_mean_to_be_between", "warning", column="item_id"))])
    assert mild.check.severity == "warn"


def test_an_expectation_that_cannot_be_evaluated_is_an_error(judge: Judge) -> None:
    listed = suite("interactions", one("column_mean_to_be_between", "info", column="type", max_value=1))
    judged = judge(clean(), suites=(listed,))
    assert judged.not_passed() == {"interactions-type-mean-to-be-between": "error"}
    assert not judged.result.ok


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (suite("clicks"), "names no table of the contract"),
        ({"name": "items"}, "no list of expectations"),
        (suite("items", one("colum_to_exist", column="title")), "did you mean expect_column_to_exist"),
        (suite("items", one(f"{COLUMN}not_be_null", column="titel")), "items have no column titel; did you mean title"),
        (suite("items", one(f"{COLUMN}not_be_null", column="attributes")), "attributes of items is no plain value"),
        (suite("items", one(f"{COLUMN}be_in_set", column="title")), "value_set: field required"),
        (
            suite("items", one(f"{COLUMN}not_be_null", column="title", meta={"severity": "fatal"})),
            "severity is 'fatal'",
        ),
        ({**suite("items"), "meta": "x"}, "suite items: \"meta\" must be a JSON object, not 'x'"),
        (suite("items", {**one(f"{COLUMN}not_be_null"), "kwargs": "x"}), '1: "kwargs" must be a JSON object'),
        (suite("items", {**one(f"{COLUMN}not_be_null"), "meta": ["x"]}), '1: "meta" must be a JSON object'),
        (suite("items", one(f"{COLUMN}match_regex", column="title", regex="([")), r"'\(\[' is no regular expression"),
        (
            suite("items", one(f"{COLUMN}match_regex_list", column="title", regex_list=["a", "*b"])),
            r"'\*b' is no regular expression",
        ),
        (
            suite("interactions", one(f"{COLUMN}be_between", column="value", min_value=5, max_value=1)),
            "min_value is 5, above max_value, 1",
        ),
        (
            suite(
                "interactions",
                one(
                    "column_max_to_be_between",
                    column="timestamp",
                    min_value="2024-06-01",
                    max_value="2024-05-31T23:00+00:00",
                ),
            ),
            "min_value is '2024-06-01T00:00:00[+]00:00', above max_value, '2024-05-31T23",
        ),
        (
            suite("items", one("column_value_lengths_to_be_between", column="title", min_value=9, max_value=2)),
            "no value lies between",
        ),
        (
            suite("items", {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "SELECT 1"}}),
            "asks a database in SQL",
        ),
    ],
)
def test_suites_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        expectations([given])


@pytest.mark.parametrize("start", ["2024-05-22 05:00", "2024-05-22T05:00:00Z", "2024-05-22T07:00:00+02:00"])
def test_times_without_a_zone_are_utc(judge: Judge, start: str) -> None:
    listed = suite(
        "interactions",
        one(f"{COLUMN}be_between", column="timestamp", min_value=start, max_value="2024-06-01", meta={"check": "late"}),
        one("column_min_to_be_between", "info", column="timestamp", min_value="2024-05-22", meta={"check": "first"}),
        one("column_min_to_be_between", "info", column="timestamp", min_value="2024-05-23", meta={"check": "later"}),
    )
    judged = judge(clean(), suites=(listed,))
    # Events come a minute past each of the first twelve hours of the 22nd: five of them before five o'clock.
    assert judged.outcome("late") == ("set-aside", 5)
    assert (judged.outcome("first")[0], judged.outcome("later")[0]) == ("pass", "warn")


def test_files_and_globs_are_read_old_names_too(tmp_path: Path) -> None:
    spec = {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "title"}}
    old = {"expectation_suite_name": "mine", "meta": {"table": "items"}, "expectations": [spec]}
    (tmp_path / "b.json").write_text(json.dumps(old), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(suite("users")), encoding="utf-8")
    found = read_suites([str(tmp_path / "*.json")])
    assert [one.get("name") for one in found] == ["users", None]
    assert [entry.check.table for entry in expectations(found)] == ["items"]
    # The steps of a run get what is in the files.
    config = Config(workspace=str(tmp_path), validation=ValidationConfig(suites=(str(tmp_path / "a.json"),)))
    assert absolute(config).validation.suites == (suite("users"),)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*none\.json"):
        read_suites([str(tmp_path / "none.json")])
    (tmp_path / "bad.json").write_text('{"name": "items",\n "expectations": [}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.json, line 2, column 19: no JSON"):
        read_suites([str(tmp_path / "bad.json")])
    (tmp_path / "bad.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="must hold a JSON object, not list"):
        read_suites([str(tmp_path / "bad.json")])


def test_two_expectations_alike_have_two_names() -> None:
    twice = one(f"{COLUMN}not_be_null", column="title")
    names = [entry.check.name for entry in expectations([suite("items", twice, twice)])]
    assert names == ["items-title-values-to-not-be-null", "items-title-values-to-not-be-null-2"]
