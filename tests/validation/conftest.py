"""A small clean dataset that tests make dirty, and the validate step run on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig, ValidationConfig
from liverank.data.dataset import REJECTED_SCHEMA
from liverank.events import ARROW_SCHEMAS
from liverank.validation.result import ValidationResult
from liverank.validation.run import validate

NOW = datetime(2024, 6, 1, tzinfo=UTC)
Tables = dict[str, list[dict[str, Any]]]


def clean() -> Tables:
    """Four items, one user, three lists and twelve events without a fault."""
    start = NOW - timedelta(days=10)
    items = [{"item_id": f"i{n}", "title": f"Item {n} 商品", "attributes": []} for n in range(4)]
    lists = [
        {
            "impression_id": f"l{n}",
            "user_id": f"u{n}",
            "timestamp": start + timedelta(hours=n),
            "shown": [{"item_id": f"i{m}", "position": m + 1, "score": 0.5, "propensity": 1.0} for m in range(3)],
        }
        for n in range(3)
    ]
    events = [
        {
            "event_id": f"e{n}",
            "user_id": f"u{n % 3}",
            "item_id": f"i{n % 4}",
            "type": "click",
            "timestamp": start + timedelta(hours=n, minutes=1),
            "value": 1.0,
            "impression_id": f"l{n}" if n < 3 else None,
        }
        for n in range(12)
    ]
    return {
        "items": items,
        "users": [{"user_id": "u0", "attributes": []}],
        "impressions": lists,
        "interactions": events,
    }


@dataclass
class Judged:
    """What a run of the step left."""

    result: ValidationResult
    source: Path
    accepted: Path
    quarantine: Path
    page: str

    def outcome(self, name: str) -> tuple[str, int]:
        """Outcome and failing rows of a check."""
        (check,) = [check for check in self.result.checks if check.name == name]
        return check.outcome, check.failing

    def not_passed(self) -> dict[str, str]:
        """Check -> outcome, of those that did not pass."""
        return {check.name: check.outcome for check in self.result.checks if check.outcome != "pass"}

    def rows(self, table: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Accepted and quarantined rows of a table."""
        good, bad = (pq.read_table(folder / f"{table}.parquet") for folder in (self.accepted, self.quarantine))
        return good.to_pylist(), bad.to_pylist()


def loose(table: str) -> pa.Schema:
    """The contract's schema without its not-null marks: what a careless writer leaves."""
    return pa.schema([field.with_nullable(True) for field in ARROW_SCHEMAS[table]])


def write(folder: Path, tables: Tables, rejected: list[dict[str, Any]] | None = None) -> Path:
    """Writes a dataset folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=loose(name)), folder / f"{name}.parquet")
    pq.write_table(pa.Table.from_pylist(rejected or [], schema=REJECTED_SCHEMA), folder / "rejected.parquet")
    facts = {
        "source": "/data/clicks.csv",
        "format": "contract",
        "synthetic": False,
        "rows": {},
        "hash": "x",
        "notes": [],
    }
    (folder / "source.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judged]:
    """Writes tables and validates them; keyword arguments are of `ValidationConfig`."""

    def run(tables: Tables, rejected: list[dict[str, Any]] | None = None, **config: Any) -> Judged:
        source = write(tmp_path / "source", tables, rejected)
        return run_on(source, tmp_path, **config)

    return run


def run_on(source: Path, folder: Path, **config: Any) -> Judged:
    """Validates a folder with limits that suit a dozen events."""
    settings = ValidationConfig(**{"min_interactions": 3, **config})
    accepted, quarantine, report = folder / "accepted", folder / "quarantine", folder / "report.html"
    result = validate(source, settings, DataConfig(), accepted, quarantine, report, NOW)
    return Judged(result, source, accepted, quarantine, report.read_text(encoding="utf-8"))
