"""The Great Expectations suites of the contract and what they say of what was measured.

The engine counts the rows that fail each rule, because an expectation that calls Python or compares with a large set
costs seconds for each million rows; the expectations then judge the counts: a frame with one row, a column a check.
That no row fails is the same as that each row's flag is in [True]: the verdict is that on ten million flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final

from liverank.config.validation import Severity
from liverank.validation.checks import Check

_ONE_AT_A_TIME: Final = Lock()
SEVERITY: Final[Mapping[Severity, str]] = {"stop": "critical", "set-aside": "warning", "warn": "info"}
"""Our severities in Great Expectations' words."""


@dataclass(frozen=True)
class Measure:
    """What the engine measured for a check, and the limits within which it may lie."""

    value: float
    least: float | None = None
    most: float | None = 0
    rows: int | None = None
    """Where `value` counts failing rows: of how many."""
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """What an expectation found."""

    failing: int
    total: int
    problem: str = ""
    """Why the expectation could not be evaluated; empty when it was. That is an error, not a failure."""


def suite(name: str, checks: Sequence[Check], measures: Mapping[str, Measure]) -> Any:
    """The suite of these checks, one expectation a check, with the limits of its measure."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    expectations = [
        gxe.ExpectColumnMaxToBeBetween(
            column=check.name,
            min_value=measures[check.name].least,
            max_value=measures[check.name].most,
            severity=SEVERITY[check.severity],
            meta={"check": check.name, "about": check.about, "flag": check.flag or check.query},
        )
        for check in checks
    ]
    return gx.ExpectationSuite(name=name, expectations=expectations)


def judge(
    name: str, checks: Sequence[Check], measures: Mapping[str, Measure], frame: Any = None
) -> tuple[dict[str, Finding], dict[str, Any]]:
    """Judges the measures; check name -> finding, and the suite as plain JSON.

    Args:
        name: the suite's.
        checks: all have a measure.
        measures: check name -> measure.
        frame: what is judged, for tests; made from the measures where left out.
    """
    import pandas as pd

    if frame is None:
        frame = pd.DataFrame({check.name: [float(measures[check.name].value)] for check in checks})
    expectations = suite(name, checks, measures)
    # A context costs more than judging a row does; a lock, because a batch belongs to its context.
    with _ONE_AT_A_TIME:
        outcomes = _said_of(frame, _kept_frames(), expectations, {})
    found = {one["expectation_config"]["meta"]["check"]: one for one in outcomes}
    findings = {check.name: _finding(found[check.name], measures[check.name]) for check in checks}
    return findings, expectations.to_json_dict()


def evaluate(expectations: Any, frame: Any, parameters: Mapping[str, Any]) -> Any:
    """What the expectations of a suite say of a pandas frame, as JSON; the frame is not kept."""
    return _said_of(frame, _frames(), expectations, parameters)


def _frames() -> Any:
    """Takes pandas frames; its context keeps the last of them."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    return asset.add_batch_definition_whole_dataframe("all")


_kept_frames = cache(_frames)


def _said_of(frame: Any, frames: Any, expectations: Any, parameters: Mapping[str, Any]) -> Any:
    # Not through a validation definition: it stores each result as JSON, and fails on results that are NumPy's.
    outcome = frames.get_batch(batch_parameters={"dataframe": frame}).validate(
        expectations,
        expectation_parameters=dict(parameters),
        result_format={"result_format": "COMPLETE", "partial_unexpected_count": 0},
    )
    return outcome.to_json_dict()["results"]


def _finding(one: Mapping[str, Any], measure: Measure) -> Finding:
    wrong = problem(one.get("exception_info") or {})
    if wrong or (one.get("result") or {}).get("observed_value") is None:
        return Finding(0, 0, wrong or "the expectation observed nothing")
    if measure.rows is not None:
        return Finding(0 if one["success"] else int(one["result"]["observed_value"]), measure.rows)
    return Finding(0 if one["success"] else 1, 1)


def problem(info: Mapping[str, Any]) -> str:
    """Why an expectation raised, from either one flat mapping or one for each metric that raised; empty: it did not."""
    for part in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "unknown error").strip().splitlines()[-1]
    return ""
