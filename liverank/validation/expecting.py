"""Runs the user's expectations on Great Expectations itself, without a frame of all rows where one can be spared.

What an expectation on single rows says depends on the values alone: it judges each different value (or combination of
values) once, and the rows that have a failing one are counted and named by the engine. The counts, and so the verdict,
are those of the whole column. Expectations that need the column as a whole get it, pruned to the columns they name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from liverank.data.dataset import DATASET_SCHEMAS
from liverank.validation.engine import Engine
from liverank.validation.own_suites import ANY_KEY, Expectation
from liverank.validation.suites import Finding, evaluate, problem

CHUNK: Final = 200_000
"""Values judged at once."""
_VALUES: Final = "own_values"
_COLUMN: Final = "expect_column_values_"
BY_VALUE: Final = frozenset(
    {
        *(_COLUMN + name for name in ("to_not_be_null", "to_be_null", "to_be_in_set", "to_not_be_in_set")),
        *(_COLUMN + name for name in ("to_be_between", "to_match_regex", "to_not_match_regex")),
        *(_COLUMN + name for name in ("to_match_regex_list", "to_not_match_regex_list", "to_match_strftime_format")),
        *(_COLUMN + name for name in ("to_be_dateutil_parseable", "to_be_json_parseable", "to_match_json_schema")),
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_in_set",
        "expect_select_column_values_to_be_unique_within_record",
        "expect_multicolumn_sum_to_equal",
    }
)
"""Expectations that say of a value what they say of it anywhere; all others see their columns whole."""
_OF_PRESENCE: Final = (f"{_COLUMN}to_not_be_null", f"{_COLUMN}to_be_null")
_ALL_MISSING: Final = ("both_values_are_missing", "all_values_are_missing")
_ANY_MISSING: Final = ("either_value_is_missing", "any_value_is_missing")

Outcome = tuple[Finding, str]
"""What was found and, for people, what was observed."""


def expect(
    engine: Engine, table: str, wanted: Sequence[tuple[int, Expectation]], parameters: dict[str, Any]
) -> dict[str, Outcome]:
    """Judges the rows of a table that are left; check name -> outcome. Notes the failing rows of those that fail.

    Args:
        engine: has the table taken and barred.
        table: its name.
        wanted: the place of the check and the expectation.
        parameters: what an expectation may name as `$PARAMETER`.
    """
    found: dict[str, Outcome] = {}
    for columns, group in _grouped(wanted):
        if columns and not group[0][1].conditional and group[0][1].type in BY_VALUE:
            found |= _by_value(engine, table, columns, group, parameters)
        else:
            found |= _whole(engine, table, columns, group, parameters)
    return found


def _grouped(
    wanted: Sequence[tuple[int, Expectation]],
) -> Iterator[tuple[tuple[str, ...], list[tuple[int, Expectation]]]]:
    """Expectations that can be judged on one frame."""
    groups: dict[tuple[Any, ...], list[tuple[int, Expectation]]] = {}
    for place, one in wanted:
        alone = one.check.name if one.conditional or not one.columns else ""
        groups.setdefault((one.columns, one.type in BY_VALUE, alone), []).append((place, one))
    for (columns, _, _), group in groups.items():
        yield columns, group


def _sql(column: str) -> str:
    whole, _, key = column.partition(".")
    return f"{whole}['{key.replace(chr(39), chr(39) * 2)}']" if key and whole in ANY_KEY else column


def _run(name: str, group: Sequence[tuple[int, Expectation]], frame: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name, expectations=[one.built() for _, one in group])
    results = evaluate(suite, frame, parameters)
    return {one["expectation_config"]["meta"]["check"]: one for one in results}


def _by_value(
    engine: Engine,
    table: str,
    columns: tuple[str, ...],
    group: Sequence[tuple[int, Expectation]],
    parameters: dict[str, Any],
) -> dict[str, Outcome]:
    tallies = {one.check.name: _Tally(place, one) for place, one in group}
    engine.connection.execute("CREATE OR REPLACE TEMP TABLE own_failures (place SMALLINT, number BIGINT)")
    for frame in _values(engine, table, columns):
        results = _run(table, group, frame[list(columns)], parameters)
        for name, tally in tallies.items():
            tally.add(engine, results[name], frame, columns)
    for tally in tallies.values():
        if tally.failed:
            _note_values(engine, table, columns, tally.place)
    return {name: tally.outcome() for name, tally in tallies.items()}


def _values(engine: Engine, table: str, columns: tuple[str, ...]) -> Iterator[Any]:
    """Frames of the different values, with the number of rows that have each as `rows`."""
    chosen = ", ".join(f"{_sql(name)} AS v{number}" for number, name in enumerate(columns))
    engine.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_VALUES} AS SELECT row_number() OVER () - 1 AS number, * FROM "
        f"(SELECT {chosen}, count(*) AS rows FROM {table}_left GROUP BY ALL)"
    )
    [(size,)] = engine.connection.execute(f"SELECT count(*) FROM {_VALUES}").fetchall()
    names = {f"v{number}": name for number, name in enumerate(columns)}
    # An empty table is judged too: there is nothing wrong with it, but a broken expectation still shows.
    for start in range(0, max(1, size), CHUNK):
        part = engine.connection.sql(
            f"SELECT * FROM {_VALUES} WHERE number >= {start} AND number < {start + CHUNK} ORDER BY number"
        )
        yield part.to_arrow_table().to_pandas().rename(columns=names).set_index("number").rename_axis(None)


def _note_values(engine: Engine, table: str, columns: tuple[str, ...], place: int) -> None:
    same = " AND ".join(f"{_sql(name)} IS NOT DISTINCT FROM v{number}" for number, name in enumerate(columns))
    bad = f"SELECT * FROM {_VALUES} WHERE number IN (SELECT number FROM own_failures WHERE place = {place})"
    engine.fail(table, place, f"SELECT {table}_left.row FROM {table}_left JOIN ({bad}) AS bad ON {same}")


class _Tally:
    """The counts of an expectation over the frames of values."""

    def __init__(self, place: int, expectation: Expectation) -> None:
        self.place, self.expectation = place, expectation
        self.rows = self.missing = self.unexpected = 0
        self.problem = ""

    def add(self, engine: Engine, result: dict[str, Any], frame: Any, columns: tuple[str, ...]) -> None:
        self.problem = self.problem or problem(result.get("exception_info") or {})
        failing = (result.get("result") or {}).get("unexpected_index_list") or []
        self.rows += int(frame["rows"].sum())
        self.missing += int(frame["rows"][self._ignored(frame[list(columns)])].sum())
        self.unexpected += int(frame["rows"].loc[failing].sum())
        noted = pa.table(
            {"place": pa.array([self.place] * len(failing), pa.int16()), "value": pa.array(failing, pa.int64())}
        )
        engine.connection.register("noted", noted)
        engine.connection.execute("INSERT INTO own_failures SELECT * FROM noted")
        engine.connection.unregister("noted")

    def _ignored(self, values: Any) -> Any:
        if self.expectation.type in _OF_PRESENCE:
            return values.isna().any(axis=1) & False
        rule = getattr(self.expectation.built(), "ignore_row_if", "all_values_are_missing")
        if rule in _ALL_MISSING:
            return values.isna().all(axis=1)
        return values.isna().any(axis=1) & (rule in _ANY_MISSING)

    @property
    def failed(self) -> bool:
        considered = self.rows - self.missing
        mostly = float((self.expectation.spec.get("kwargs") or {}).get("mostly", 1.0))
        return bool(considered and (considered - self.unexpected) / considered < mostly)

    def outcome(self) -> Outcome:
        if self.problem:
            return Finding(0, 0, self.problem), ""
        return Finding(self.unexpected if self.failed else 0, self.rows), f"{self.unexpected:,} of {self.rows:,} rows."


def _whole(
    engine: Engine,
    table: str,
    columns: tuple[str, ...],
    group: Sequence[tuple[int, Expectation]],
    parameters: dict[str, Any],
) -> dict[str, Outcome]:
    frame = _frame(engine, table, columns, group[0][1])
    results = _run(table, group, frame, parameters)
    found: dict[str, Outcome] = {}
    for place, one in group:
        result = results[one.check.name]
        found[one.check.name] = _outcome(result, one)
        failing = (result.get("result") or {}).get("unexpected_index_list") or []
        if one.check.of_rows and not result["success"] and failing:
            noted = pa.table({"row": pa.array(failing, pa.int64())})
            engine.connection.register("noted", noted)
            engine.fail(table, place, "SELECT row FROM noted")
            engine.connection.unregister("noted")
    return found


def _frame(engine: Engine, table: str, columns: tuple[str, ...], one: Expectation) -> Any:
    """The columns that an expectation needs, in the file's order, rows numbered as in the file."""
    import pandas as pd

    if not columns and "row_count" in one.type:
        [(rows,)] = engine.connection.execute(f"SELECT count(*) FROM {table}_left").fetchall()
        return pd.DataFrame(index=pd.RangeIndex(rows))
    names = tuple(dict.fromkeys([*columns, *(_plain(table) if one.conditional else ())]))
    if not names:
        return pd.DataFrame(columns=DATASET_SCHEMAS[table].names)
    chosen = ", ".join(f'{_sql(name)} AS "{name}"' for name in names)
    found = engine.connection.sql(f"SELECT row, {chosen} FROM {table}_left ORDER BY row")
    return found.to_arrow_table().to_pandas(deduplicate_objects=True).set_index("row").rename_axis(None)


def _plain(table: str) -> list[str]:
    return [field.name for field in DATASET_SCHEMAS[table] if not pa.types.is_nested(field.type)]


def _outcome(result: dict[str, Any], one: Expectation) -> Outcome:
    wrong = problem(result.get("exception_info") or {})
    if wrong:
        return Finding(0, 0, wrong), ""
    facts = result.get("result") or {}
    if one.check.of_rows:
        rows, unexpected = int(facts.get("element_count") or 0), int(facts.get("unexpected_count") or 0)
        return Finding(0 if result["success"] else unexpected, rows), f"{unexpected:,} of {rows:,} rows."
    observed = facts.get("observed_value")
    return Finding(
        0 if result["success"] else 1, 1
    ), f"Observed: {str(observed)[:200]}." if observed is not None else ""
