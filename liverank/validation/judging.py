"""The judgment of one dataset folder, table by table: flags and joins, suites of the user, partition, measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from liverank.config import DataConfig, ValidationConfig
from liverank.data.dataset import REJECTED_FILE
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.progress import stage
from liverank.validation import partition, samples, schema, suites, trends
from liverank.validation.checks import Check
from liverank.validation.engine import Engine, opened, quoted
from liverank.validation.expecting import expect
from liverank.validation.own_suites import Expectation
from liverank.validation.profile import Profile, profile
from liverank.validation.result import CheckResult, Rows, SourceRows, ValidationResult, outcome_of, verdict
from liverank.validation.suites import Measure

MICROS: Final = 1_000_000
_SPILL: Final = ".spill"
_IDS: Final = {"items": "item_id", "impressions": "impression_id"}


@dataclass
class Judging:
    """One run: its inputs, and what it has found so far."""

    dataset: Path
    config: ValidationConfig
    data: DataConfig
    accepted: Path
    quarantine: Path
    now: datetime
    checks: Sequence[Check]
    own: Mapping[str, Expectation]
    """Check -> the user's expectation that it is."""
    source: Mapping[str, Any]
    before: Sequence[Mapping[str, Any]]
    """Records of the accepted runs before, oldest first."""
    found: dict[str, CheckResult] = field(default_factory=dict)
    suites: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, samples.Sample] = field(default_factory=dict)
    profile: Profile = field(default_factory=dict)
    hash: str = ""
    _reasons: Counter[str] = field(default_factory=Counter)
    _sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def judge(self) -> ValidationResult:
        """The verdict; the folders are filled when it returns."""
        counts = {table: rows_of(self.dataset, table) for table in ARROW_SCHEMAS}
        rejected = partition.keep_rejected(self.dataset, self.quarantine)
        fits = self._schemas()
        with opened(self.dataset, self.accepted / _SPILL) as engine:
            engine.values = self._limits()
            losses = self._losses(engine, rejected)
            rows = {table: Rows(read, 0, 0, losses.get(table, 0)) for table, read in counts.items()}
            unplaced = sum(losses.values()) - sum(one.rejected for one in rows.values())
            if not fits:
                return verdict(list(self.found.values()), rows, dict(self._reasons), self._by_source(), unplaced)
            with stage("validate rows", sum(counts.values())) as progress:
                for table, read in counts.items():
                    aside = self._table(engine, table, read)
                    rows[table] = Rows(read, read - aside, aside, losses.get(table, 0))
                    progress.advance(read)
            self._rejected(rows, unplaced)
            engine.tell_languages()
            self.profile = profile(engine.connection, self.accepted, self.config.late_hours * 3600)
            if self.config.languages and self.config.sample_rows:
                told = samples.foreign_items(engine.connection, self.config.languages, self.config.sample_rows)
                self.samples["item-language"] = told
        self._whole(rows, unplaced)
        kept = {name: count.accepted for name, count in rows.items()}
        self.hash = partition.seal(self.accepted, dict(self.source), kept)
        ordered = [self.found[check.name] for check in self.checks]
        return verdict(ordered, rows, dict(self._reasons), self._by_source(), unplaced)

    def _limits(self) -> dict[str, Any]:
        earliest = datetime.fromisoformat(self.config.earliest).replace(tzinfo=UTC)
        return {
            "types": sorted(self.data.event_weights),
            "latest": int((self.now.timestamp() + self.config.max_future_seconds) * MICROS),
            "earliest": int(earliest.timestamp() * MICROS),
            "title_length": self.config.max_title_length,
            "text_length": self.config.max_text_length,
            "per_hour": self.config.max_events_per_hour,
            "scripts": list(self.config.scripts),
        }

    def _schemas(self) -> bool:
        for table in ARROW_SCHEMAS:
            (check,) = self._of(table, "schema")
            wrong = schema.differences(table, pq.read_schema(self.dataset / f"{table}.parquet"))
            measure = Measure(len(wrong), rows=len(ARROW_SCHEMAS[table]), detail=schema.sentence(wrong))
            self._judge(check.name, [check], {check.name: measure})
            if wrong:
                self.samples[check.name] = wrong
        return all(one.outcome == "pass" for one in self.found.values())

    def _table(self, engine: Engine, table: str, read: int) -> int:
        """Judges and parts the rows of a table; returns how many are set aside."""
        checks = [check for check in self.checks if check.table == table and check.of_rows]
        bars = [place for place, check in enumerate(checks) if check.bars]
        engine.take(table)
        if table == "items":
            engine.tell_scripts()
        self._of_rows(engine, table, checks)
        engine.bar(table, bars)
        self._of_answers(engine, table, checks)
        engine.bar(table, bars)
        self._expected(engine, table, checks)
        engine.bar(table, bars)
        if table in _IDS:
            engine.remember(table, _IDS[table])
        self._count(engine, table, checks, read)
        aside = engine.aside(table, checks)
        partition.part(self.dataset, table, aside, self.accepted, self.quarantine)
        return int(aside.num_rows)

    @staticmethod
    def _of_rows(engine: Engine, table: str, checks: Sequence[Check]) -> None:
        engine.flag(table, {place: check.flag for place, check in enumerate(checks) if check.flag})
        for place, check in enumerate(checks):
            if check.kind == "row" and check.query:
                engine.fail(table, place, check.query)

    @staticmethod
    def _of_answers(engine: Engine, table: str, checks: Sequence[Check]) -> None:
        answers = {place: check.query for place, check in enumerate(checks) if check.kind == "answer"}
        if answers:
            engine.remember_lists()
        for place, query in answers.items():
            engine.fail(table, place, query)

    def _expected(self, engine: Engine, table: str, checks: Sequence[Check]) -> None:
        places = {check.name: place for place, check in enumerate(checks)}
        whole = {name: one for name, one in self.own.items() if one.check.table == table}
        wanted = [(places.get(name, -1), one) for name, one in whole.items()]
        by_name = {check.name: check for check in self.checks}
        for name, (finding, detail) in expect(engine, table, wanted, {"now": self.now}).items():
            self.found[name] = outcome_of(by_name[name], finding, detail)
        if wanted:
            self.suites[f"{table} (own)"] = {"name": table, "expectations": [dict(one.spec) for _, one in wanted]}

    def _count(self, engine: Engine, table: str, checks: Sequence[Check], read: int) -> None:
        counts = engine.counts(table)
        ours = {place: check for place, check in enumerate(checks) if check.name not in self.own}
        measures = {
            check.name: Measure(counts.get(place, 0), rows=read, detail=_of(counts.get(place, 0), read))
            for place, check in ours.items()
        }
        self._judge(table, list(ours.values()), measures)
        for place, check in enumerate(checks):
            if counts.get(place):
                if self.config.sample_rows:
                    limit = self.config.sample_rows
                    self.samples[check.name] = samples.failing_rows(engine.connection, check, place, limit)
                if check.bars:
                    self._reasons[check.name] += counts[place]
        for origin, (rows, barred) in engine.origins(table).items():
            told = self._source(origin)
            told["accepted"] += rows - barred
            told["set_aside"] += barred
        for origin, place, failing in engine.by_origin(table):
            self._source(origin)["checks"][checks[place].name] += failing

    def _source(self, origin: str) -> dict[str, Any]:
        return self._sources.setdefault(origin, {"accepted": 0, "set_aside": 0, "rejected": 0, "checks": Counter()})

    def _by_source(self) -> dict[str, SourceRows]:
        return {
            name: SourceRows(one["accepted"], one["set_aside"], one["rejected"], dict(one["checks"].most_common()))
            for name, one in sorted(self._sources.items())
        }

    def _losses(self, engine: Engine, rejected: Path) -> dict[str, int]:
        """Table -> rows that ingest could not express; their reasons, sources and a few of them are noted."""
        file = f"read_parquet({quoted(rejected)})"
        losses: Counter[str] = Counter()
        found = engine.connection.execute(
            f"""SELECT coalesce("table", ''), reason, coalesce(origin, ''), count(*) FROM {file} """
            "GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for table, reason, origin, count in found:
            losses[table] += count
            self._reasons[reason] += count
            self._source(origin)["rejected"] += count
        if found and self.config.sample_rows:
            (check,) = self._of("source", "rejected")
            path = self.dataset / REJECTED_FILE
            self.samples[check.name] = samples.rejected_rows(engine.connection, path, self.config.sample_rows)
        return dict(losses)

    def _rejected(self, rows: Mapping[str, Rows], unplaced: int) -> None:
        (check,) = self._of("source", "rejected")
        lost = unplaced + sum(one.rejected for one in rows.values())
        total = lost + sum(one.read for one in rows.values())
        self._judge(check.name, [check], {check.name: Measure(lost, rows=total, detail=_of(lost, total))})

    def _whole(self, rows: Mapping[str, Rows], unplaced: int) -> None:
        items, events = rows["items"].accepted, rows["interactions"]
        # A row of which nobody knows the table may have been an interaction.
        lost = events.rejected + unplaced
        share = (events.set_aside + lost) / max(1, events.read + lost)
        config = self.config
        told: trends.Told = {
            "items-volume": Measure(
                items, config.min_items, None, detail=f"{items:,} accepted, {config.min_items:,} needed."
            ),
            "interactions-volume": Measure(
                events.accepted,
                config.min_interactions,
                None,
                detail=f"{events.accepted:,} accepted, {config.min_interactions:,} needed.",
            ),
            "set-aside-share": Measure(
                share,
                most=config.max_set_aside,
                detail=f"{share:.1%} of the interactions are set aside, at most {config.max_set_aside:.1%} may be."
                + (f" {unplaced:,} rows of no known table count as interactions." if unplaced else ""),
            ),
            **trends.measure(self.profile, self.before, config, self.now),
        }
        checks = [check for check in self.checks if check.kind in ("volume", "trend")]
        measured = {name: one for name, one in told.items() if isinstance(one, Measure)}
        self._judge("whole", [check for check in checks if check.name in measured], measured)
        for check in checks:
            why = told[check.name]
            if isinstance(why, str):
                self.found[check.name] = outcome_of(check, suites.Finding(0, 1), why)

    def _of(self, table: str, kind: str) -> list[Check]:
        return [check for check in self.checks if check.table == table and check.kind == kind]

    def _judge(self, name: str, checks: Sequence[Check], measures: Mapping[str, Measure]) -> None:
        findings, self.suites[name] = suites.judge(name, checks, measures)
        for check in checks:
            finding, measure = findings[check.name], measures[check.name]
            told = measure.detail if finding.failing or measure.rows is None else ""
            self.found[check.name] = outcome_of(check, finding, told)


def rows_of(dataset: Path, table: str) -> int:
    """Rows of a table's file.

    Raises:
        DataError: the file is missing or unreadable.
    """
    path = dataset / f"{table}.parquet"
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "Write the dataset folder anew.") from problem


def _of(failing: int, rows: int) -> str:
    return f"{failing:,} of {rows:,} rows."
