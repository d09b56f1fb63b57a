"""Evidently's part: the drift of each column and the means of our own per-request metrics, as one report a window.

Evidently's ranking metrics are not used (they disagree with their definitions in several ways); the exact metrics of
`liverank.evaluation` are fed to it as columns, one more for each slice. A column that Evidently cannot take is recorded
as failed and left out, so that it does not cost the report of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from liverank import columns as c
from liverank.config import MonitoringConfig
from monitoring.columns import Pair
from monitoring.decision import ColumnFinding
from monitoring.quality import ALL, METRICS, slices

METHODS: Final = {"numeric": "wasserstein", "categorical": "jensenshannon"}
PROJECT: Final = "liverank"


@dataclass(frozen=True)
class Measured:
    """A watched column of both sides with the distance that counts as drift."""

    pair: Pair
    threshold: float


@dataclass(frozen=True)
class Report:
    """What Evidently computed: `snapshot` is its own object, saved by `save_report`."""

    snapshot: Any
    findings: list[ColumnFinding]


def build_report(
    measured: Sequence[Measured],
    window: pa.Table,
    reference: pa.Table | None,
    new_user_events: int,
    config: MonitoringConfig,
    labels: Mapping[str, str],
) -> Report:
    """Runs Evidently over the watched columns and the ranking metrics.

    Args:
        measured: the columns whose drift is computed.
        window: the live requests.
        reference: the requests whose metrics are comparable; None where there are none yet.
        new_user_events: events up to which a user is new.
        config: thresholds.
        labels: metadata of the report, e.g. the model version.
    """
    deciding = config.quality_metric
    ours, theirs = _quality_columns(window, new_user_events, deciding), None
    if reference is not None:
        theirs = _quality_columns(reference, new_user_events, deciding).reindex(columns=ours.columns)
    usable: list[Measured] = list(measured)
    failed: list[ColumnFinding] = []
    try:
        snapshot = _combined(usable, ours, theirs, config, labels)
    except Exception:  # noqa: BLE001  which column it was, and what it raised, is found out and recorded now
        usable, failed = _usable(measured)
        snapshot = _combined(usable, ours, theirs, config, labels)
    return Report(snapshot, [*_findings(snapshot, usable), *failed])


def save_report(report: Report, html: Path, workspace: Path) -> Path:
    """Writes the self-contained page and adds the run to the Evidently workspace; returns the file of that run."""
    from evidently.ui.workspace import Workspace

    html.parent.mkdir(parents=True, exist_ok=True)
    report.snapshot.save_html(str(html))
    workspace.mkdir(parents=True, exist_ok=True)
    projects = Workspace.create(str(workspace))
    known = [project for project in projects.list_projects() if project.name == PROJECT]
    project = known[0] if known else projects.create_project(PROJECT)
    return Path(projects.add_run(project.id, report.snapshot, include_data=False).url)


def thin_out(folder: Path, keep: int) -> None:
    """Deletes all but the newest `keep` pages; their names begin with the time."""
    for page in sorted(folder.glob("*-monitoring.html"))[:-keep]:
        page.unlink(missing_ok=True)


def _combined(
    usable: Sequence[Measured],
    ours: pd.DataFrame,
    theirs: pd.DataFrame | None,
    config: MonitoringConfig,
    labels: Mapping[str, str],
) -> Any:
    # A person reads from the top: how good the rankings were, then what moved, then how complete the columns are.
    metrics = [*_means(ours, theirs, config), *[_drift(one) for one in usable], *_counts(usable)]
    window = _frame(usable, "window", ours)
    return _run(metrics, window, _frame(usable, "reference", theirs).reindex(columns=window.columns), labels)


def _usable(measured: Sequence[Measured]) -> tuple[list[Measured], list[ColumnFinding]]:
    """The columns that Evidently takes: one that it refuses would abort the whole report."""
    usable, failed = [], []
    for one in measured:
        frames = _frame([one], "window", None), _frame([one], "reference", None)
        try:
            _run([_drift(one)], *frames, {})
        except Exception as problem:  # noqa: BLE001  whatever Evidently raises is recorded as this column's outcome
            failed.append(_finding(one, "failed", None, f"{type(problem).__name__}: {problem}"))
        else:
            usable.append(one)
    return usable, failed


def _run(metrics: Sequence[Any], window: pd.DataFrame, reference: pd.DataFrame, labels: Mapping[str, str]) -> Any:
    from evidently import DataDefinition, Dataset, Report

    numeric = [name for name in window if pd.api.types.is_numeric_dtype(window[name])]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in window if name not in numeric]
    )
    # A column without a value, such as a slice that the reference lacks, divides by zero there.
    with np.errstate(invalid="ignore"):
        sides = [Dataset.from_pandas(frame, definition) for frame in (window, reference)]
    report = Report(list(metrics), include_tests=True, tags=["monitoring"], metadata=dict(labels))
    return report.run(*sides)


def _drift(one: Measured) -> Any:
    from evidently.metrics import ValueDrift

    return ValueDrift(column=one.pair.watched.name, method=METHODS[one.pair.kind], threshold=one.threshold)


def _counts(usable: Sequence[Measured]) -> list[Any]:
    from evidently.metrics import MissingValueCount, RowCount

    return [RowCount(tests=[]), *[MissingValueCount(column=one.pair.watched.name, tests=[]) for one in usable]]


def _means(window: pd.DataFrame, reference: pd.DataFrame | None, config: MonitoringConfig) -> list[Any]:
    """The mean of each quality column that has values, tested against the reference where that has some too."""
    from evidently.metrics import MeanValue
    from evidently.tests import Reference, gte

    means = []
    for name in window:
        if not window[name].notna().sum():
            continue
        comparable = reference is not None and bool(reference[name].notna().sum())
        tests = [gte(Reference(relative=config.max_quality_loss))] if comparable else []
        means.append(MeanValue(column=name, tests=tests))
    return means


def _quality_columns(table: pa.Table, new_user_events: int, deciding: str) -> pd.DataFrame:
    """Every metric on all requests, the deciding one on each slice with null outside it, and degraded answers."""
    columns: dict[str, Any] = {"degraded share": table[c.DEGRADED].cast(pa.float64()).to_pandas()}
    columns |= {metric: table[metric].cast(pa.float64()).to_pandas() for metric in METRICS}
    ids = table[c.REQUEST_ID].to_pylist()
    for name, rows in slices(table, new_user_events):
        if name != ALL:
            inside = set(rows[c.REQUEST_ID].to_pylist())
            columns[f"{deciding}, {name}"] = columns[deciding].where([request in inside for request in ids])
    return pd.DataFrame(columns)


def _frame(usable: Sequence[Measured], side: str, quality: pd.DataFrame | None) -> pd.DataFrame:
    """One side's columns side by side; their lengths differ, the rest of a shorter one is null."""
    watched = {one.pair.watched.name: getattr(one.pair, side) for one in usable}
    return pd.concat([pd.DataFrame(watched), *([] if quality is None else [quality])], axis=1)


def _findings(snapshot: Any, usable: Sequence[Measured]) -> list[ColumnFinding]:
    values = {
        metric["config"]["column"]: float(metric["value"])
        for metric in snapshot.dict()["metrics"]
        if metric["metric_name"].startswith("ValueDrift")
    }
    by_name = {one.pair.watched.name: one for one in usable}
    return [
        _finding(by_name[name], "drifted" if value >= by_name[name].threshold else "stable", value)
        for name, value in values.items()
    ]


def _finding(one: Measured, outcome: Any, value: float | None, detail: str = "") -> ColumnFinding:
    watched = one.pair.watched
    return ColumnFinding(
        column=watched.name,
        group=watched.group,
        method=METHODS[one.pair.kind],
        outcome=outcome,
        value=value,
        threshold=one.threshold,
        detail=detail,
    )
