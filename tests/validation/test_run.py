"""The step as a whole: nothing is lost, errors are not failures, the page is complete in itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig, ValidationConfig
from liverank.data.dataset import DATASET_SCHEMAS, REJECTED_SCHEMA, read_dataset
from liverank.data.ingest import ingest
from liverank.errors import DataError
from liverank.validation.checks import Check
from liverank.validation.result import outcome_of, verdict
from liverank.validation.run import validate
from liverank.validation.samples import masked, text_of
from liverank.validation.suites import Measure
from liverank.validation.suites import judge as judge_measures
from tests.validation.conftest import Judged, clean, run_on, write
from tests.validation.test_checks import spoilt

Judge = Callable[..., Judged]
REJECTED: list[dict[str, Any]] = [
    {"table": "interactions", "row": '{"CustomerID": "17850", "item": "i0"}', "reason": "no zone"},
    {"table": "items", "row": "not json", "reason": "<b>unreadable</b>"},
    {"table": "", "row": "17850,i0", "reason": "a cut line", "file": "/data/de/clicks.csv", "line": 1234},
    {"table": None, "row": "17850,i0", "reason": "a cut line"},
]


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Every fault at once, with rejected rows."""
    folder = tmp_path_factory.mktemp("dirty")
    return run_on(write(folder / "source", spoilt(), REJECTED), folder, max_set_aside=1.0)


def test_nothing_is_lost(dirty: Judged) -> None:
    for name, rows in dirty.result.rows.items():
        accepted, aside = dirty.rows(name)
        source = pq.read_table(dirty.source / f"{name}.parquet").to_pylist()
        assert (rows.read, rows.accepted, rows.set_aside) == (len(source), len(accepted), len(aside))
        found = [
            str({key: value for key, value in row.items() if key not in ("reasons", "origin")})
            for row in [*accepted, *aside]
        ]
        assert sorted(found) == sorted(map(str, source))
        assert all(row["reasons"] for row in aside)
    rejected = pq.read_table(dirty.quarantine / "rejected.parquet").to_pylist()
    assert rejected == [{**dict.fromkeys(REJECTED_SCHEMA.names), **row} for row in REJECTED]


def test_every_total_is_that_of_the_source(dirty: Judged) -> None:
    files = [pq.read_metadata(path).num_rows for path in sorted(dirty.source.glob("*.parquet"))]
    kept = sum(len(dirty.rows(name)[0]) for name in DATASET_SCHEMAS)
    result = dirty.result
    assert result.total == sum(files)
    assert result.set_aside == sum(files) - kept
    (expressed,) = [check for check in result.checks if check.name == "rows-expressed"]
    assert (expressed.failing, expressed.total) == (len(REJECTED), sum(files))
    told = list(result.sources.values())
    assert sum(one.accepted + one.set_aside + one.rejected for one in told) == sum(files)
    assert f"{result.set_aside:,} of {sum(files):,} rows were set aside" in dirty.page
    table = re.findall(r"<td>([\d,]+)</td>" * 4 + "</tr>", dirty.page.split("Where the rows went")[1])
    sums = [sum(int(line[place].replace(",", "")) for line in table) for place in range(4)]
    assert sums[0] == sum(files) == sum(sums[1:])
    assert sums[1] == kept
    assert "<td>Of no known table</td><td>2</td>" in dirty.page


def test_the_lines_of_a_file_are_all_accounted_for_and_cut_ones_stop_the_run(tmp_path: Path) -> None:
    def written(cut: int) -> tuple[Judged, int]:
        folder = tmp_path / str(cut)
        folder.mkdir()
        good = [f"u{n % 3},i{n % 4},click,2024-05-20T00:{n:02}:00Z" for n in range(20)]
        odd = [f"u{n},i{n}" if n % 2 else f"u{n},i{n},click,2024-05-20T00:00:00Z,one,too,many" for n in range(cut)]
        lines = ["user_id,item_id,type,timestamp", *good, *odd]
        (folder / "interactions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        ingest(DataConfig(source=str(folder / "interactions.csv")), folder / "dataset")
        return run_on(folder / "dataset", folder), len(lines) - 1

    few, lines = written(cut=10)
    made_up = few.result.rows["items"].read
    assert (few.result.ok, few.result.total - made_up) == (True, lines)
    assert few.result.set_aside == 10
    many, lines = written(cut=60)
    assert many.result.total - made_up == lines
    assert [check.name for check in many.result.stopped_by] == ["set-aside-share"]
    assert "75.0% of the interactions are set aside" in many.result.stopped_by[0].detail


def test_rows_of_no_known_table_count_as_interactions(judge: Judge) -> None:
    def share(rejected: int) -> list[str]:
        stopped = judge(clean(), [{"table": "", "row": "{}", "reason": "cut"}] * rejected).result.stopped_by
        return [check.name for check in stopped]

    # Of twelve events and as many rows half are gone, which is the most that may be.
    assert share(12) == []
    assert share(13) == ["set-aside-share"]


def test_accepted_is_a_clean_dataset_folder(dirty: Judged, tmp_path: Path) -> None:
    dataset = read_dataset(dirty.accepted)
    assert dataset.rows() == {**{name: rows.accepted for name, rows in dirty.result.rows.items()}, "rejected": 0}
    for name, schema in DATASET_SCHEMAS.items():
        assert pq.read_schema(dirty.accepted / f"{name}.parquet").equals(schema)
    assert run_on(dirty.accepted, tmp_path).result.set_aside == 0


def test_result_json_holds_the_verdict(dirty: Judged) -> None:
    stored = json.loads((dirty.accepted / "result.json").read_text(encoding="utf-8"))
    assert stored["ok"] is dirty.result.ok
    assert stored["set_aside"] == dirty.result.set_aside
    (one,) = [check for check in stored["checks"] if check["name"] == "event-type-known"]
    assert (one["table"], one["severity"], one["failing"], one["outcome"]) == (
        "interactions",
        "set-aside",
        1,
        "set-aside",
    )
    assert stored["rows"]["interactions"]["rejected"] == 1
    assert json.loads((dirty.accepted / "suites.json").read_text(encoding="utf-8"))["interactions"]["expectations"]
    assert json.loads(json.dumps(dirty.result.summary)) == dirty.result.summary


def test_rejected_rows_are_reported_with_their_reasons(dirty: Judged, judge: Judge) -> None:
    assert dirty.outcome("rows-expressed") == ("set-aside", 4)
    assert dirty.result.reasons["no zone"] == 1
    assert dirty.result.reasons["a cut line"] == 2
    assert "<td>a cut line</td><td>–</td><td>clicks.csv</td><td>1,234</td>" in dirty.page
    assert "<td>no zone</td><td>interactions</td><td>–</td><td>–</td>" in dirty.page
    assert not judge(clean(), REJECTED, severities={"rows-expressed": "stop"}).result.ok


def test_the_page_loads_nothing(dirty: Judged) -> None:
    assert not re.search(r"(?:https?:)?//[a-z]", dirty.page)
    assert not re.search(r"<(?:script|link|img|iframe|object|embed)|@import|url\(", dirty.page)
    assert "<svg" in dirty.page


def test_the_page_tells_the_verdict_the_counts_and_the_failing_rows(dirty: Judged, judge: Judge) -> None:
    assert "The data can be used" in dirty.page
    for check in dirty.result.checks:
        assert check.name in dirty.page
    assert "clcik" in dirty.page
    assert "clicks.csv" in dirty.page
    assert "/data/" not in dirty.page
    assert "<b>unreadable</b>" not in dirty.page
    assert "&lt;b&gt;unreadable" in dirty.page
    assert "The data is clean" in judge(clean()).page
    stopped = judge(clean(), min_items=50).page
    assert "The run stops here" in stopped
    assert "4 accepted, 50 needed." in stopped


def test_the_page_names_no_user(dirty: Judged) -> None:
    assert "17850" not in dirty.page
    assert ">u0<" not in dirty.page


def test_no_more_sample_rows_than_configured(judge: Judge) -> None:
    tables = clean()
    for row in tables["interactions"][:5]:
        row["type"] = "strange-type"
    assert judge(tables, sample_rows=2).page.count("<td>strange-type</td>") == 2
    assert judge(tables, sample_rows=0).page.count("<td>strange-type</td>") == 0


def test_wrong_columns_stop_before_anything_is_accepted(tmp_path: Path) -> None:
    source = write(tmp_path / "source", clean(), REJECTED)
    events = pq.read_table(source / "interactions.parquet").drop(["value"])
    events = events.set_column(3, "type", pa.array(range(12)))
    pq.write_table(events, source / "interactions.parquet")
    judged = run_on(source, tmp_path)
    (stopped,) = judged.result.stopped_by
    assert (stopped.name, stopped.failing) == ("interactions-schema", 2)
    assert "value: expected double, found (no column)." in stopped.detail
    assert "type: expected string, found int64." in stopped.detail
    assert not (judged.accepted / "interactions.parquet").exists()
    assert judged.result.total == sum(pq.read_metadata(path).num_rows for path in source.glob("*.parquet"))
    assert "The run stops here" in judged.page


def test_a_timestamp_without_a_zone_is_a_wrong_type(tmp_path: Path) -> None:
    source = write(tmp_path / "source", clean())
    events = pq.read_table(source / "interactions.parquet")
    naive = events["timestamp"].cast(pa.timestamp("us"))
    pq.write_table(events.set_column(4, "timestamp", naive), source / "interactions.parquet")
    (stopped,) = run_on(source, tmp_path).result.stopped_by
    assert "timestamp: expected timestamp[us, tz=UTC], found timestamp[us]." in stopped.detail


def test_wider_strings_and_finer_instants_are_the_contract_too(tmp_path: Path) -> None:
    source = write(tmp_path / "source", clean())
    events = pq.read_table(source / "interactions.parquet")
    events = events.set_column(4, "timestamp", events["timestamp"].cast(pa.timestamp("ns", tz="UTC")))
    events = events.set_column(0, "event_id", events["event_id"].cast(pa.large_string()))
    pq.write_table(events, source / "interactions.parquet")
    judged = run_on(source, tmp_path)
    assert judged.not_passed() == {}
    assert pq.read_schema(judged.accepted / "interactions.parquet").equals(DATASET_SCHEMAS["interactions"])


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "source", clean())
    (source / "users.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"users\.parquet cannot be read"):
        run_on(source, tmp_path)
    (source / "users.parquet").unlink()
    with pytest.raises(DataError, match=r"users\.parquet cannot be read"):
        run_on(source, tmp_path)
    (source / "source.json").unlink()
    with pytest.raises(DataError, match=r"source\.json"):
        run_on(source, tmp_path)


def test_an_empty_dataset_is_stopped_by_its_volume(judge: Judge) -> None:
    judged = judge({"items": [], "users": [], "impressions": [], "interactions": []})
    assert {check.name for check in judged.result.stopped_by} == {"items-volume", "interactions-volume"}


def test_a_path_with_a_quote(tmp_path: Path) -> None:
    folder = tmp_path / "l'été"
    assert run_on(write(folder / "source", clean()), folder).result.ok


def test_what_cannot_be_evaluated_is_an_error_and_no_failure() -> None:
    checks = [Check("there", "items", "warn", "It is there."), Check("absent", "items", "warn", "It is not.")]
    measures = {check.name: Measure(1, rows=2) for check in checks}
    findings, _ = judge_measures("items", checks, measures, pd.DataFrame({"there": [1.0]}))
    assert (findings["there"].failing, findings["there"].total, findings["there"].problem) == (1, 2, "")
    assert "absent" in findings["absent"].problem
    result = verdict([outcome_of(check, findings[check.name]) for check in checks], {}, {})
    assert [check.outcome for check in result.checks] == ["warn", "error"]
    assert not result.ok
    assert result.stopped_by[0].detail.startswith("Could not be evaluated")


def test_a_measure_that_is_no_number_is_an_error() -> None:
    check = Check("share", "items", "warn", "It holds.")
    findings, _ = judge_measures("items", [check], {"share": Measure(math.nan)})
    assert findings["share"].problem


def test_the_same_data_gives_the_same_accepted_hash(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        judged = run_on(write(tmp_path / name / "source", clean()), tmp_path / name)
        hashes.add(json.loads((judged.accepted / "source.json").read_text(encoding="utf-8"))["hash"])
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "(missing)"), ("", "“”"), ([{"item_id": "a", "score": None}], "item_id=a"), ("x" * 200, "x" * 159 + "…")],
)
def test_cells_as_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_personal_values_are_masked() -> None:
    assert masked('{"Customer ID": "17850", "user_id": null, "item": "i0"}') == (
        '{"Customer ID": "…", "user_id": null, "item": "i0"}'
    )
    assert masked("[1]") == "(no object)"


def test_the_future_is_counted_from_the_time_of_the_run(tmp_path: Path) -> None:
    source = write(tmp_path / "source", clean())
    # Events come a minute past each hour; five minutes of the future are tolerated.
    late = datetime(2024, 5, 22, 3, tzinfo=UTC)
    result = validate(
        source, ValidationConfig(min_interactions=1), DataConfig(), tmp_path / "a", tmp_path / "q", tmp_path / "r", late
    )
    assert result.reasons["event-time-past"] == 8
