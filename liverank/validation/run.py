"""The validate step: a dataset in; the accepted dataset, the quarantine, a verdict and a page for people out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from liverank.config import DataConfig, ValidationConfig
from liverank.data.dataset import REJECTED_FILE, read_source
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.progress import note, stage
from liverank.validation import flags, partition, samples, schema, suites
from liverank.validation.checks import Check, configured
from liverank.validation.report import page
from liverank.validation.result import (
    RESULT_FILE,
    SUITES_FILE,
    CheckResult,
    Rows,
    ValidationResult,
    outcome_of,
    verdict,
)

MICROS: Final = 1_000_000
_SPILL: Final = ".spill"


def validate(
    dataset: Path,
    config: ValidationConfig,
    data: DataConfig,
    accepted: Path,
    quarantine: Path,
    report: Path,
    now: datetime,
    history: Path | None = None,
) -> ValidationResult:
    """Judges a dataset folder and parts its rows; nothing is lost: accepted + set aside + rejected = source.

    Args:
        dataset: what ingest wrote.
        config: limits and severities.
        data: the known event types.
        accepted: becomes a dataset folder without the rows set aside, with `result.json` and `suites.json`; where the
            tables do not have the contract's columns it holds only these two.
        quarantine: gets one Parquet file a table with the rows set aside and a column `reasons`.
        report: the HTML page.
        now: the time of the run, with a zone.

    Raises:
        ConfigError: a configured severity names no check or one that cannot have it.
        DataError: a file is missing or unreadable.
    """
    run = _Run(dataset, config, data, accepted, quarantine, now, configured(config.severities), read_source(dataset))
    for folder in (accepted, quarantine, report.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with stage("validate"):
        result = run.judge()
    (accepted / RESULT_FILE).write_text(_json(result.to_json()), encoding="utf-8")
    (accepted / SUITES_FILE).write_text(_json(run.suites), encoding="utf-8")
    report.write_text(page(result, run.samples, run.source, now), encoding="utf-8")
    _tell(result)
    return result


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@dataclass
class _Run:
    """One run: its inputs, and what it has found so far."""

    dataset: Path
    config: ValidationConfig
    data: DataConfig
    accepted: Path
    quarantine: Path
    now: datetime
    checks: Sequence[Check]
    source: dict[str, Any]
    found: dict[str, CheckResult] = field(default_factory=dict)
    suites: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, samples.Sample] = field(default_factory=dict)

    def judge(self) -> ValidationResult:
        import duckdb

        counts = {table: _rows(self.dataset, table) for table in ARROW_SCHEMAS}
        rejected = partition.keep_rejected(self.dataset, self.quarantine)
        if not self._schemas():
            rows = {name: Rows(count, 0, 0) for name, count in counts.items()}
            return verdict(list(self.found.values()), rows, {})
        spill = self.accepted / _SPILL
        try:
            with duckdb.connect(config={"temp_directory": str(spill)}) as connection:
                return self._rows(connection, counts, rejected)
        finally:
            shutil.rmtree(spill, ignore_errors=True)

    def _schemas(self) -> bool:
        for table in ARROW_SCHEMAS:
            (check,) = self._of(table, "schema")
            wrong = schema.differences(table, pq.read_schema(self.dataset / f"{table}.parquet"))
            names = ARROW_SCHEMAS[table].names
            broken = {line["column"] for line in wrong}
            frame = pd.DataFrame({check.name: [name not in broken for name in names]})
            self._judge(check.name, frame, [check], {check.name: schema.sentence(wrong)})
            self.samples[check.name] = wrong
        return all(one.outcome == "pass" for one in self.found.values())

    def _rows(self, connection: Any, counts: dict[str, int], rejected: pa.Table) -> ValidationResult:
        rows: dict[str, Rows] = {}
        reasons: dict[str, int] = {}
        losses = {one["values"]: one["counts"] for one in rejected["table"].value_counts().to_pylist()}
        for table, read in counts.items():
            self._flag(connection, table)
            kept = self._part(connection, table, reasons)
            rows[table] = Rows(read, kept, read - kept, losses.get(table, 0))
        for one in rejected["reason"].value_counts().to_pylist():
            reasons[one["values"]] = reasons.get(one["values"], 0) + one["counts"]
        self._rejected(connection, rejected.num_rows, sum(counts.values()))
        self._volumes(rows)
        partition.seal(self.accepted, self.source, {name: count.accepted for name, count in rows.items()})
        ordered = [self.found[check.name] for check in self.checks]
        return verdict(ordered, rows, reasons)

    def _flag(self, connection: Any, table: str) -> None:
        """Computes the flags of a table, has them judged, and notes failing rows."""
        path, checks = self.dataset / f"{table}.parquet", self._of(table, "row")
        if table == "impressions":
            flags.find_strangers(connection, path)
        # What stops the run is set aside too, so that the accepted rows obey the contract whatever the severities.
        aside = [check.name for check in checks if check.severity != "warn"]
        expressions = {check.name: check.flag for check in checks}
        flags.compute(connection, path, table, expressions, aside, self._values())
        if table in ("items", "impressions"):
            flags.remember_ids(connection, path, table, "item_id" if table == "items" else "impression_id")
        names = ", ".join(f'"{check.name}"' for check in checks)
        frame = connection.execute(f"SELECT {names} FROM {table}_flags").df()
        self._judge(table, frame, checks, {})
        for check in checks:
            if self.found[check.name].failing and self.config.sample_rows:
                self.samples[check.name] = samples.failing_rows(connection, path, check, self.config.sample_rows)

    def _values(self) -> dict[str, Any]:
        earliest = datetime.fromisoformat(self.config.earliest).replace(tzinfo=UTC)
        return {
            "types": sorted(self.data.event_weights),
            "latest": int((self.now.timestamp() + self.config.max_future_seconds) * MICROS),
            "earliest": int(earliest.timestamp() * MICROS),
        }

    def _part(self, connection: Any, table: str, reasons: dict[str, int]) -> int:
        """Parts the rows of a table, counts the reasons, and returns the number of rows kept."""
        column = f"len({flags.REASONS}) = 0"
        kept = connection.execute(f"SELECT {column} AS kept FROM {table}_flags ORDER BY row").fetchnumpy()["kept"]
        aside = connection.sql(f"SELECT {flags.REASONS} FROM {table}_flags WHERE NOT {column} ORDER BY row")
        told = aside.to_arrow_table()[flags.REASONS]
        counted = connection.execute(
            f"SELECT reason, count(*) FROM (SELECT unnest({flags.REASONS}) AS reason FROM {table}_flags) GROUP BY ALL"
        )
        reasons.update(dict(counted.fetchall()))
        partition.part(self.dataset, table, kept.astype(bool), told.combine_chunks(), self.accepted, self.quarantine)
        return int(kept.sum())

    def _rejected(self, connection: Any, rejected: int, expressed: int) -> None:
        (check,) = self._of("source", "rejected")
        frame = pd.DataFrame({check.name: [True] * expressed + [False] * rejected})
        self._judge(check.name, frame, [check], {})
        if rejected and self.config.sample_rows:
            path = self.dataset / REJECTED_FILE
            self.samples[check.name] = samples.rejected_rows(connection, path, self.config.sample_rows)

    def _volumes(self, rows: dict[str, Rows]) -> None:
        items, events = rows["items"].accepted, rows["interactions"]
        share = (events.set_aside + events.rejected) / max(1, events.read + events.rejected)
        limits = {
            "items-volume": (items >= self.config.min_items, f"{items:,} accepted, {self.config.min_items:,} needed."),
            "interactions-volume": (
                events.accepted >= self.config.min_interactions,
                f"{events.accepted:,} accepted, {self.config.min_interactions:,} needed.",
            ),
            "set-aside-share": (
                share <= self.config.max_set_aside,
                f"{share:.1%} of the interactions are set aside, at most {self.config.max_set_aside:.1%} may be.",
            ),
        }
        checks = [check for check in self.checks if check.kind == "volume"]
        frame = pd.DataFrame({name: [fine] for name, (fine, _) in limits.items()})
        self._judge("volume", frame, checks, {name: detail for name, (_, detail) in limits.items()})

    def _of(self, table: str, kind: str) -> list[Check]:
        return [check for check in self.checks if check.table == table and check.kind == kind]

    def _judge(self, name: str, frame: Any, checks: Sequence[Check], details: dict[str, str]) -> None:
        findings = suites.judge(name, frame, checks)
        self.suites[name] = suites.suite_json(name, checks)
        for check in checks:
            finding = findings[check.name]
            detail = details.get(check.name) or f"{finding.failing:,} of {finding.total:,} rows."
            self.found[check.name] = outcome_of(check, finding, detail)


def _rows(dataset: Path, table: str) -> int:
    path = dataset / f"{table}.parquet"
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "Write the dataset folder anew.") from problem


def _tell(result: ValidationResult) -> None:
    why = "; ".join(f"{reason}: {count:,}" for reason, count in list(result.reasons.items())[:5])
    note(f"Validation set aside {result.set_aside:,} of {result.total:,} rows{f' ({why})' if why else ''}.")
    for check in result.checks:
        if check.outcome in ("warn", "stop", "error"):
            note(f"{check.outcome}: {check.name}: {check.about} {check.detail}")
