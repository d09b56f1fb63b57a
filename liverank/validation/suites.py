"""The Great Expectations suites and what they say of a frame of flags; the only place that imports the package.

The engine has turned each rule into a boolean column, because an expectation that calls Python or compares with a large
set costs seconds for each million rows; the expectations then ask that a column holds nothing but true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from liverank.config.validation import Severity
from liverank.validation.checks import Check

SEVERITY: Final[Mapping[Severity, str]] = {"stop": "critical", "set-aside": "warning", "warn": "info"}
"""Our severities in Great Expectations' words."""


@dataclass(frozen=True)
class Finding:
    """What an expectation found."""

    failing: int
    total: int
    problem: str = ""
    """Why the expectation could not be evaluated; empty when it was. That is an error, not a failure."""


def suite(name: str, checks: Sequence[Check]) -> Any:
    """The suite of one table's checks, one expectation a check."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    expectations = [
        gxe.ExpectColumnValuesToBeInSet(
            column=check.name,
            value_set=[True],
            severity=SEVERITY[check.severity],
            meta={"check": check.name, "about": check.about, "flag": check.flag},
        )
        for check in checks
    ]
    return gx.ExpectationSuite(name=name, expectations=expectations)


def suite_json(name: str, checks: Sequence[Check]) -> dict[str, Any]:
    """The suite as plain JSON, as it was judged; `great_expectations.ExpectationSuite(**json)` reads it."""
    return suite(name, checks).to_json_dict()


def judge(name: str, frame: Any, checks: Sequence[Check]) -> dict[str, Finding]:
    """Judges a pandas frame with one boolean column a check; check name -> finding."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("flags").add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=context.suites.add(suite(name, checks))
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": frame}, result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
    )
    return {one["expectation_config"]["meta"]["check"]: _finding(one) for one in outcome.to_json_dict()["results"]}


def _finding(one: Mapping[str, Any]) -> Finding:
    problem = _problem(one.get("exception_info") or {})
    result = one.get("result") or {}
    if problem or "element_count" not in result:
        return Finding(0, 0, problem or "the expectation gave no counts")
    # A null flag is neither true nor false: Great Expectations skips it, we do not.
    return Finding(result["unexpected_count"] + result["missing_count"], result["element_count"])


def _problem(info: Mapping[str, Any]) -> str:
    # Either one flat mapping, or one for each metric that raised.
    for part in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if part.get("raised_exception"):
            return str(part.get("exception_message") or "unknown error").strip().splitlines()[-1]
    return ""
