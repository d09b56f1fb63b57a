"""What a protocol found: one value a request, row and metric, and its means, intervals and spread over seeds."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from liverank.config.evaluation import EvaluationConfig
from liverank.errors import DataError
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.finite import finite
from liverank.evaluation.lists import Floats
from liverank.evaluation.protocols.log import Mask
from liverank.evaluation.protocols.ranks import Values

METRICS_FILE = "metrics.json"
ALL = "all"
LEAST_REQUESTS = 10
LEAST_USERS = 10


@dataclass(frozen=True)
class Table:
    """The same requests ranked in several ways."""

    name: str
    lead: str
    """What is ranked, and against what, in words."""
    users: Sequence[str]
    """The user of each request."""
    values: Mapping[str, Values]
    """Row -> metric -> `[requests]`, or `[seeds, requests]` once several are put together."""
    groups: Mapping[str, Mask] = field(default_factory=dict)
    """Parts of the requests that are told apart, `[requests]` each; all together come first."""
    compared: Sequence[tuple[str, str]] = ()
    """Rows whose paired difference is told: the first minus the second."""


def together(tables: Sequence[Table]) -> Table:
    """One table of the same requests with as many seeds; all tables have the rows of the first."""
    first = tables[0]
    values = {
        row: {metric: np.stack([table.values[row][metric] for table in tables]) for metric in of}
        for row, of in first.values.items()
    }
    return Table(first.name, first.lead, first.users, values, first.groups, first.compared)


@dataclass(frozen=True)
class Figure:
    """A mean with its interval (of the mean over seeds, users resampled), and the mean of each seed."""

    interval: Interval
    seeds: list[float]


@dataclass(frozen=True)
class Finding:
    """The figures of one table on one part of its requests."""

    table: str
    lead: str
    group: str
    requests: int
    rows: dict[str, dict[str, Figure]]
    """Row -> metric -> figure."""
    differences: dict[str, dict[str, Figure]]
    """`a minus b` -> metric -> figure."""


def enough(users: Collection[object]) -> bool:
    """Whether so many requests, a user for each, are enough for a mean and its interval."""
    return len(users) >= LEAST_REQUESTS and len(set(users)) >= LEAST_USERS


def check_enough(users: Collection[str], hint: str) -> None:
    """Makes sure that a mean and its interval say something: intervals resample users, and so few hardly differ.

    Args:
        users: who asked, an entry for each request.
        hint: what gives more of them.

    Raises:
        DataError: there are fewer than `LEAST_REQUESTS` requests, or fewer than `LEAST_USERS` users.
    """
    if len(users) < LEAST_REQUESTS:
        raise DataError(f"Only {len(users)} requests can be tested; a mean needs at least {LEAST_REQUESTS}.", hint)
    if len(set(users)) < LEAST_USERS:
        raise DataError(
            f"The requests that can be tested come from {len(set(users))} users; an interval needs at least "
            f"{LEAST_USERS}.",
            hint,
        )


def find(table: Table, config: EvaluationConfig) -> list[Finding]:
    """The figures of a table: on all requests, then on each of its groups of enough requests and users."""
    groups = {name: mask for name, mask in table.groups.items() if enough(list(compress(table.users, mask)))}
    everyone = np.ones(len(table.users), bool)
    return [_finding(table, name, mask, config) for name, mask in {ALL: everyone, **groups}.items()]


def _finding(table: Table, group: str, mask: Mask, config: EvaluationConfig) -> Finding:
    columns = _columns(table, mask)
    users = list(compress(table.users, mask))
    bootstrap = Bootstrap(users, config.bootstrap_samples, config.confidence, config.seed)
    drawn = bootstrap.intervals(np.column_stack([values.mean(axis=0) for values in columns.values()]))
    figures: dict[str, dict[str, Figure]] = {}
    for (name, metric), values, interval in zip(columns, columns.values(), drawn, strict=True):
        figures.setdefault(name, {})[metric] = Figure(interval, [float(_mean(of)) for of in values])
    gaps = {f"{one} minus {other}" for one, other in table.compared}
    return Finding(
        table.name,
        table.lead,
        group,
        int(mask.sum()),
        {name: of for name, of in figures.items() if name not in gaps},
        {name: of for name, of in figures.items() if name in gaps},
    )


def _columns(table: Table, mask: Mask) -> dict[tuple[str, str], Floats]:
    """`[seeds, requests]` of each row and metric, then of each difference."""
    values = {
        (row, metric): np.atleast_2d(array)[:, mask] for row, of in table.values.items() for metric, array in of.items()
    }
    metrics = next(iter(table.values.values()))
    for one, other in table.compared:
        for metric in metrics:
            values[f"{one} minus {other}", metric] = values[one, metric] - values[other, metric]
    return values


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan


@dataclass(frozen=True)
class ProtocolResult:
    """All that a run found, with what it cost."""

    protocol: str
    k: int
    confidence: float
    settings: dict[str, Any]
    training: dict[str, Any]
    """Dotted key -> value, of all that the rankers were trained with that is not the default configuration."""
    data: dict[str, Any]
    """Name, users, items, events, of these trained on, requests."""
    findings: list[Finding]
    chosen: dict[str, Any]
    """What the validation chose: the plain recipe's weight; by seed the blend's weights and epochs."""
    seconds: dict[str, float]
    """Part of the work -> wall-clock seconds, all seeds together."""
    peak_mib: float
    """Peak resident memory of the process, in MiB."""

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`; a number that is not finite becomes null."""
        content = {"format": 1, **asdict(self)}
        for finding in content["findings"]:
            for kind in ("rows", "differences"):
                finding[kind] = {
                    name: {metric: {**figure["interval"], "seeds": figure["seeds"]} for metric, figure in of.items()}
                    for name, of in finding[kind].items()
                }
        plain: dict[str, Any] = finite(content)
        return plain

    def write(self, out: Path) -> Path:
        """Writes `metrics.json` into `out`, whole or not at all."""
        path = out / METRICS_FILE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
        return path
