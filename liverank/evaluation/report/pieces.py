"""What the sections of the report are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.findings import Findings
from liverank.evaluation.measure import AT_K

QUALITY = ("ndcg", "hit_rate", "recall", "mrr", "map", "precision", "auc", "coverage", "diversity", "novelty")
"""Metrics of which more is better, other things being equal."""
_NAMES = {
    "ndcg": "NDCG",
    "hit_rate": "HR",
    "mrr": "MRR",
    "map": "MAP",
    "auc": "AUC",
    "long_tail": "Long-tail share",
    "popularity": "Popularity (mean training events)",
    "popularity_lift": "Popularity lift over the histories",
    "exposure_gini": "Gini of exposure",
    "category_calibration": "Category calibration (KL)",
}


def metric_name(metric: str, k: int) -> str:
    """The metric as people write it, with its cut-off."""
    name = _NAMES.get(metric, metric.capitalize())
    return f"{name}@{k}" if metric in AT_K else name


def deciding(found: Findings) -> str:
    """The metric that the gate judges by."""
    return metric_name(found.metric, found.k)


def card(title: str, lead: str, content: str) -> str:
    """A section; `title` and `lead` are HTML."""
    return f'<section class="card"><h2>{title}</h2><p class="quiet">{lead}</p>{content}</section>'


def key() -> str:
    """What the colours of a forest plot mean."""
    marks = (("good", "better"), ("even", "cannot be told"), ("bad", "worse"))
    return '<br><span class="key">' + "".join(f'<b class="{kind}"></b>{name}' for kind, name in marks) + "</span>"


def sortable(interval: Interval) -> float:
    """Its mean, below all others where undefined."""
    return interval.mean if np.isfinite(interval.mean) else -np.inf


def cell(interval: Interval, best: bool = False) -> str:
    """A figure of a table with its interval below."""
    if not np.isfinite(interval.mean):
        return "<td>–</td>"
    kind = ' class="best"' if best else ""
    span = "" if interval.low == interval.high else f"<small>{short(interval.low)} – {short(interval.high)}</small>"
    return f"<td{kind}>{figure(interval.mean)}{span}</td>"


def figure(value: float) -> str:
    """A number with as many digits as say something."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


def short(value: float) -> str:
    """The same for the ends of an interval."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], mine: str = "") -> str:
    """A table; cells that are not HTML yet (`<td>`) become so. The column named `mine` is marked."""
    heads = "".join(f"<th{' class=mine' if name == mine else ''}>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{escape(content)}</td>"


def details(summary: str, content: str) -> str:
    """What opens at a click."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
