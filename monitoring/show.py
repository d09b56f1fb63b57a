"""Decision records as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from monitoring.decision import ColumnFinding, DecisionRecord, WindowFacts
from monitoring.quality import Comparison
from monitoring.trigger import TriggerResult

COLOURS = {"drifted": "red", "failed": "red", "stable": "green", "left out": "dim"}


def summary(records: Sequence[DecisionRecord]) -> Table:
    """One line a decision."""
    table = Table(title=f"{len(records)} decisions, newest first")
    for name in ("id", "model", "seen", "quality", "lost", "drifted", "action", "rule"):
        table.add_column(name, no_wrap=name == "id", justify="right" if name in {"seen", "quality", "lost"} else "left")
    for record in records:
        table.add_row(
            record.id,
            record.model_version or "-",
            str(record.window.impressions) if record.window else "-",
            f"{record.window.mean:.3f}" if record.window and record.window.mean is not None else "-",
            f"{record.quality.loss:.1%}" if record.quality else "-",
            _drifted(record.columns),
            f"[bold red]{record.action}[/bold red]" if record.action == "retrain" else record.action,
            record.rule if record.rule == record.cause or not record.cause else f"{record.rule} ({record.cause})",
        )
    return table


def detail(record: DecisionRecord) -> RenderableType:
    """One decision with all that led to it."""
    return Group(*_lines(record), *([_columns(record.columns)] if record.columns else []), *_end(record))


def _lines(record: DecisionRecord) -> Iterator[str]:
    yield f"[bold]{record.id}[/bold]  {record.time:%Y-%m-%d %H:%M:%S} UTC, model version {record.model_version or '-'}"
    if window := record.window:
        yield (
            f"Seen: {window.impressions} impressions, {window.judged} answered, {window.degraded_share:.1%} degraded; "
            f"log {window.start} to {window.end}; newest event {_age(window.newest_event_age)} old, "
            f"model {_age(window.model_age)} old"
        )
        yield from _skew(window)
        rates = [f"{answered / shown:.1%}" for shown, answered in window.clicks_by_position if shown]
        yield f"Answered by position, from the top: {' '.join(rates)}"
    if record.quality:
        yield f"Quality: {record.metric} {_comparison(record.quality)}, against the {record.reference}"
    for found in (found for found in record.slices if found.comparison != record.quality):
        yield f"   {escape(found.name)}: {found.metric} {_comparison(found.comparison)}"


def _skew(window: WindowFacts) -> Iterator[str]:
    if window.skew_share is not None:
        yield f"Skew: {window.skew_share:.1%} of the answers used another history than training makes of the log"
    if (found := window.value_skew) is None:
        return
    if found.share is not None:
        worst = max(found.features, key=lambda name: found.features[name], default="")
        most = f", most often {escape(worst)}" if worst else ""
        yield f"Skew: {found.share:.1%} of {found.checked} compared answers used other feature values{most}"
    for reason, count in found.not_compared.items():
        yield f"   feature values of {count} answers not compared: {escape(reason)}"


def _columns(columns: Sequence[ColumnFinding]) -> Table:
    table = Table(title="Drift")
    for name in ("column", "method", "value", "threshold", "outcome"):
        table.add_column(name, justify="right" if name in {"value", "threshold"} else "left")
    for finding in columns:
        colour = COLOURS[finding.outcome]
        outcome = f"[{colour}]{finding.outcome}[/{colour}]" + (f": {escape(finding.detail)}" if finding.detail else "")
        value, threshold = _number(finding.value), _number(finding.threshold)
        table.add_row(finding.column, finding.method, value, threshold, outcome)
    return table


def _end(record: DecisionRecord) -> Iterator[str]:
    for warning in record.warnings:
        yield f"[yellow]Warning:[/yellow] {escape(warning)}"
    colour = "bold red" if record.action == "retrain" else "bold"
    yield f"[{colour}]Decision: {record.action}[/{colour}], by rule {record.rule}: {escape(record.reason)}"
    if record.trigger:
        yield f"Run {record.trigger.run_id}: {_began(record.trigger)}. {escape(record.trigger.detail)}"
    elif record.facts:
        yield f"Run {record.facts.run_name}: asked for, no answer yet"
    for kind, path in record.reports.items():
        yield f"Report ({kind}): {escape(path)}"


def _began(result: TriggerResult) -> str:
    if result.failed:
        return "failed"
    return "started" if result.started else "not started"


def _comparison(found: Comparison) -> str:
    return (
        f"{found.window:.4f} (n={found.n_window}), reference {found.reference:.4f} (n={found.n_reference}): "
        f"lost {found.loss:.1%} ({found.loss_low:.1%} to {found.loss_high:.1%})"
    )


def _drifted(columns: Sequence[ColumnFinding]) -> str:
    compared = sum(finding.outcome in {"stable", "drifted"} for finding in columns)
    return f"{sum(finding.outcome == 'drifted' for finding in columns)} of {compared}" if compared else "-"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "of unknown age, "
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
