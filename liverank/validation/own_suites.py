"""Great Expectations suites of the user: plain JSON files, read, understood and refused where they make no sense."""

from __future__ import annotations

import difflib
import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.types as kinds

from liverank.config.validation import Severity
from liverank.data.dataset import DATASET_SCHEMAS
from liverank.errors import ConfigError
from liverank.validation.checks import SHOWN, Check
from liverank.validation.own_arguments import in_utc, refuse_impossible, refuse_no_objects

Suite = dict[str, Any]
_SEVERITIES: Final[Mapping[str, Severity]] = {"critical": "stop", "warning": "set-aside", "info": "warn"}
_OLD_NAMES: Final = {"expectation_suite_name": "name", "expectation_type": "type"}
ANY_KEY: Final = ("attributes", "context")
"""Columns of text to text: `attributes.brand` is a column of its own for an expectation."""


@dataclass(frozen=True)
class Expectation:
    """One expectation of a suite and the check that it is."""

    check: Check
    type: str
    spec: Mapping[str, Any] = field(repr=False)
    """As JSON: type, kwargs, meta."""
    columns: tuple[str, ...]
    """What it looks at; empty: the table as such."""
    conditional: bool
    """It has a row_condition, which may name any column."""

    def built(self) -> Any:
        """The expectation as an object of the package."""
        return _built(self.spec, self.check.name)


def read_suites(given: Sequence[str | Suite]) -> list[Suite]:
    """The suites that a configuration names, each as its JSON.

    Raises:
        ConfigError: a path matches no file, or a file is no JSON object (with its line and column).
    """
    suites: list[Suite] = []
    for one in given:
        suites += [one] if isinstance(one, dict) else [_read(path) for path in _files(one)]
    return suites


def _files(pattern: str) -> list[Path]:
    found = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))
    if not found:
        raise ConfigError(f"validation.suites: there is no file {pattern}.", "Name JSON files of suites, or leave it.")
    return [Path(name) for name in found]


def _read(path: Path) -> Suite:
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as problem:
        raise ConfigError(
            f"validation.suites: {path}, line {problem.lineno}, column {problem.colno}: no JSON: {problem.msg}.",
            "Great Expectations writes a suite with json.dumps(suite.to_json_dict()).",
        ) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"validation.suites: {path} cannot be read: {problem}.") from problem
    if not isinstance(suite, dict):
        raise ConfigError(f"validation.suites: {path} must hold a JSON object, not {type(suite).__name__}.")
    return suite


def expectations(suites: Sequence[Suite]) -> list[Expectation]:
    """Every expectation of the suites, with a check of its own name.

    Raises:
        ConfigError: a suite or expectation makes no sense here; says which and what would.
    """
    found: list[Expectation] = []
    taken: dict[str, int] = {}
    for place, given in enumerate(suites, 1):
        suite = {_OLD_NAMES.get(key, key): value for key, value in given.items()}
        where = f"validation.suites: suite {suite.get('name') or place}"
        refuse_no_objects(suite, ("meta",), where)
        table = _table(suite, where)
        for number, spec in enumerate(_specs(suite, where), 1):
            one = _expectation(spec, table, f"{where}, expectation {number}", taken)
            found.append(one)
    return found


def _table(suite: Suite, where: str) -> str:
    table = (suite.get("meta") or {}).get("table") or suite.get("name")
    if table not in DATASET_SCHEMAS:
        raise ConfigError(
            f"{where} names no table of the contract.",
            f'Set its "meta": {{"table": ...}} or its name to one of {", ".join(DATASET_SCHEMAS)}.',
        )
    return str(table)


def _specs(suite: Suite, where: str) -> Iterator[Suite]:
    listed = suite.get("expectations")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(f"{where} has no list of expectations.", 'It stands under "expectations".')
    for one in listed:
        yield {_OLD_NAMES.get(key, key): value for key, value in one.items()}


def _expectation(spec: Suite, table: str, where: str, taken: dict[str, int]) -> Expectation:
    refuse_no_objects(spec, ("kwargs", "meta"), where)
    spec = dict(spec, kwargs=in_utc(spec.get("kwargs") or {}))
    kind, kwargs = str(spec.get("type")), spec["kwargs"]
    refuse_impossible(kind, kwargs, f"{where} ({kind})")
    expectation = _built(spec, where)
    columns = _columns(kwargs)
    for column in columns:
        _known(column, table, where)
    of_rows = _of_rows(expectation)
    severity = _severity(spec, expectation, of_rows, where)
    named = "-".join(part for part in (table, *columns, kind.removeprefix("expect_column_").removeprefix("expect_")))
    wanted = str((spec.get("meta") or {}).get("check") or named.replace("_", "-"))
    taken[wanted] = taken.get(wanted, 0) + 1
    name = wanted if taken[wanted] == 1 else f"{wanted}-{taken[wanted]}"
    about = str((spec.get("meta") or {}).get("about") or spec.get("notes") or _sentence(kind, kwargs))
    shown = tuple(dict.fromkeys([*SHOWN[table], *(one for one in columns if one in DATASET_SCHEMAS[table].names)]))
    shown = tuple(column for column in shown if column != "user_id")
    check = Check(name, table, severity, about, kind="expectation", shown=shown, of_rows=of_rows)
    return Expectation(check, kind, spec, columns, bool(kwargs.get("row_condition")))


def _built(spec: Mapping[str, Any], where: str) -> Any:
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )
    from pydantic.v1 import ValidationError

    kind, known = spec.get("type"), list_registered_expectation_implementations()
    if kind not in known:
        near = difflib.get_close_matches(str(kind), known, n=1, cutoff=0.5)
        raise ConfigError(f"{where}: Great Expectations has no {kind!r}{f'; did you mean {near[0]}?' if near else '.'}")
    kwargs = {key: value for key, value in (spec.get("kwargs") or {}).items() if key != "batch_id"}
    facts = {"severity": spec["severity"]} if "severity" in spec else {}
    try:
        return get_expectation_impl(str(kind))(**kwargs, **facts, meta={"check": where})
    except (ValidationError, TypeError, ValueError) as problem:
        raise ConfigError(f"{where} ({kind}): {_why(problem)}.", "See the package's page on it.") from problem


def _why(problem: Exception) -> str:
    from pydantic.v1 import ValidationError

    if isinstance(problem, ValidationError):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problem.errors())
    return str(problem).splitlines()[0]


def _columns(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    single = [kwargs[name] for name in ("column", "column_A", "column_B") if kwargs.get(name) is not None]
    return tuple(str(name) for name in [*single, *(kwargs.get("column_list") or ())])


def _known(column: str, table: str, where: str) -> None:
    schema = DATASET_SCHEMAS[table]
    whole, _, key = column.partition(".")
    if key and whole in ANY_KEY and whole in schema.names:
        return
    if column not in schema.names:
        near = difflib.get_close_matches(column, schema.names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f": it has {', '.join(schema.names)}."
        raise ConfigError(f"{where}: {table} have no column {column}{hint}")
    if kinds.is_nested(schema.field(column).type):
        hint = f"Name one key of it, e.g. {column}.brand." if column in ANY_KEY else "Name another column."
        raise ConfigError(f"{where}: the column {column} of {table} is no plain value.", hint)


def _of_rows(expectation: Any) -> bool:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    return isinstance(expectation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)


def _severity(spec: Mapping[str, Any], expectation: Any, of_rows: bool, where: str) -> Severity:
    own = (spec.get("meta") or {}).get("severity")
    if own is not None and own not in _SEVERITIES.values():
        raise ConfigError(f"{where}: meta.severity is {own!r}.", f"It can be {', '.join(_SEVERITIES.values())}.")
    severity: Severity = own or _SEVERITIES[getattr(expectation.severity, "value", expectation.severity)]
    # A judgment of the whole table names no rows to set aside.
    return severity if of_rows or severity != "set-aside" else "warn"


def _sentence(kind: str, kwargs: Mapping[str, Any]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in kwargs.items() if value is not None and key != "batch_id")
    return f"{kind.replace('_', ' ').capitalize()}{f' ({told})' if told else ''}."[:240]
