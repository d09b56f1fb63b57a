"""The verdict on a dataset: one outcome a check, and where every row went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from liverank.config.validation import Severity
from liverank.validation.checks import Check
from liverank.validation.suites import Finding

Outcome = Literal["pass", "set-aside", "warn", "stop", "error"]
RESULT_FILE = "result.json"
SUITES_FILE = "suites.json"


@dataclass(frozen=True)
class CheckResult:
    """What became of one check."""

    name: str
    table: str
    severity: Severity
    failing: int
    total: int
    outcome: Outcome
    detail: str
    about: str = ""


@dataclass(frozen=True)
class Rows:
    """Where the rows of one table went: `read` = `accepted` + `set_aside`; `rejected` never reached the table."""

    read: int
    accepted: int
    set_aside: int
    rejected: int = 0


@dataclass(frozen=True)
class SourceRows:
    """Where the rows of one source went, all tables together, and which checks they failed."""

    accepted: int
    set_aside: int
    rejected: int
    checks: dict[str, int]
    """Check -> failing rows, most first."""


@dataclass(frozen=True)
class ValidationResult:
    """The verdict; `ok` is whether the run may go on."""

    ok: bool
    checks: tuple[CheckResult, ...]
    rows: dict[str, Rows]
    """Table name -> where its rows went."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Reason -> rows set aside for it, most frequent first; a row with two reasons counts in both."""
    sources: dict[str, SourceRows] = field(default_factory=dict)
    """Name of the source -> where its rows went."""
    unplaced: int = 0
    """Rows that ingest could not express and of which nobody knows the table they were meant for."""

    @property
    def set_aside(self) -> int:
        """Rows set aside, with those that ingest could not express."""
        return self.unplaced + sum(rows.set_aside + rows.rejected for rows in self.rows.values())

    @property
    def total(self) -> int:
        """Rows of the source."""
        return self.unplaced + sum(rows.read + rows.rejected for rows in self.rows.values())

    @property
    def stopped_by(self) -> list[CheckResult]:
        """The checks that say stop, or that could not be evaluated."""
        return [check for check in self.checks if check.outcome in ("stop", "error")]

    @property
    def summary(self) -> dict[str, Any]:
        """The verdict in a few JSON values."""
        return {
            "ok": self.ok,
            "rows": self.total,
            "accepted": sum(rows.accepted for rows in self.rows.values()),
            "set_aside": self.set_aside,
            "reasons": self.reasons,
            "warnings": [check.name for check in self.checks if check.outcome == "warn"],
            "stopped_by": [check.name for check in self.stopped_by],
        }

    def to_json(self) -> dict[str, Any]:
        """The whole verdict, as `result.json` holds it."""
        return {
            "ok": self.ok,
            "checks": [asdict(check) for check in self.checks],
            "rows": {name: asdict(rows) for name, rows in self.rows.items()},
            "unplaced": self.unplaced,
            "set_aside": self.set_aside,
            "total": self.total,
            "reasons": self.reasons,
            "sources": {name: asdict(rows) for name, rows in self.sources.items()},
        }


def outcome_of(check: Check, finding: Finding, detail: str = "") -> CheckResult:
    """Turns a finding into an outcome by the check's severity; what could not be evaluated is an error."""
    outcome: Outcome = "error" if finding.problem else check.severity if finding.failing else "pass"
    text = f"Could not be evaluated: {finding.problem}." if finding.problem else detail
    return CheckResult(
        check.name, check.table, check.severity, finding.failing, finding.total, outcome, text, check.about
    )


def verdict(
    checks: Sequence[CheckResult],
    rows: dict[str, Rows],
    reasons: dict[str, int],
    sources: dict[str, SourceRows] | None = None,
    unplaced: int = 0,
) -> ValidationResult:
    """The result; the run may go on when nothing says stop and everything could be evaluated."""
    ok = not any(check.outcome in ("stop", "error") for check in checks)
    ranked = dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return ValidationResult(ok, tuple(checks), rows, ranked, sources or {}, unplaced)
