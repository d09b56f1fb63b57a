"""What the demo shows as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

SHOWN_LINES = 10
TITLE_WIDTH = 30
SHOWN_METRICS = ("ndcg", "hit_rate", "mrr", "recall")


def before_and_after(before: Sequence[str], after: Sequence[str], titles: Mapping[str, str]) -> Table:
    """Two rankings of one list side by side; the arrow says how far an item moved."""
    table = Table("", box=None, pad_edge=False, padding=(0, 2))
    for name in ("before the event", "after it", "moved"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=TITLE_WIDTH)
    old = {item: position for position, item in enumerate(before)}
    for position, (left, right) in enumerate(zip(before, after, strict=True)):
        if position == SHOWN_LINES:
            break
        change = old[right] - position
        arrow = f"[green]↑ {change}[/green]" if change > 0 else f"[red]↓ {-change}[/red]" if change < 0 else "="
        table.add_row(str(position + 1), _title(left, titles), _title(right, titles), arrow)
    return table


def _title(item: str, titles: Mapping[str, str]) -> str:
    return (titles.get(item) or item).replace("[", "(")


def metrics_table(findings: Mapping[str, Any]) -> Table:
    """Every ranker's metrics on the same test lists, and its paired difference to the model that would serve."""
    k, metric, primary = findings["k"], findings["metric"], findings["primary"]
    others = [name for name in SHOWN_METRICS if name in findings["rankers"][primary] and name != metric]
    heads = (f"{metric}@{k}", *(f"{name.replace('hit_rate', 'hr')}@{k}" for name in others), f"{primary} minus it")
    table = Table("ranker", *heads, box=None, padding=(0, 2, 0, 0))
    for ranker, metrics in findings["rankers"].items():
        gap = findings["differences"].get(ranker, {}).get(metric)
        table.add_row(
            f"[bold]{ranker}[/bold]" if ranker == primary else ranker,
            interval(metrics[metric], ".3f"),
            *(f"{metrics[name]['mean']:.3f}" for name in others),
            interval(gap, "+.3f") if gap else "",
        )
    return table


def interval(found: Mapping[str, Any], form: str) -> str:
    """`0.312 (0.290, 0.335)`, or a dash where there is no figure."""
    if found["mean"] is None:
        return "-"
    return f"{found['mean']:{form}} ({found['low']:{form}}, {found['high']:{form}})"
