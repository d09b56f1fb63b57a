"""The sections on who is shown: popularity, and exposure by category and provider."""

from __future__ import annotations

from html import escape

from liverank.evaluation.exposure import GroupExposure
from liverank.evaluation.findings import Findings, rival_of
from liverank.evaluation.report.curves import Axis, Series, line_plot
from liverank.evaluation.report.pieces import card, cell, metric_name, table
from liverank.evaluation.report.plots import Row, interval_plot

METRICS = ("popularity", "popularity_lift", "long_tail", "exposure_gini", "category_calibration")
"""Metrics of which neither more nor less is better by itself."""
_SHARES = [(value / 100, f"{value} %") for value in range(0, 101, 20)]


def exposure_section(found: Findings) -> str:
    """Popularity bias and concentration of every ranker, then exposure by each attribute of items."""
    exposure = found.exposure
    title = "Who is shown"
    lead = (
        f"The first {found.k} places of each list, each of exposure 1 / log2(1 + rank). {exposure.items:,} different "
        f"items were candidates. The head, {exposure.head_items:,} items, holds {exposure.head_events:.0%} of the "
        "training events; all others are long tail."
    )
    return card(title, lead, _metrics(found) + _lorenz(found)) + "".join(_groups(by, found) for by in exposure.groups)


def _metrics(found: Findings) -> str:
    names = list(found.rankers)
    rows = [
        [metric_name(metric, found.k), *(cell(found.rankers[name][metric]) for name in names)] for metric in METRICS
    ]
    for by in found.exposure.groups:
        shares = [f"{by.misplaced[name]:.1%}" for name in names]
        rows.append([f"Exposure misplaced by {by.attribute}", *shares])
    return table(["metric", *names], rows, found.primary)


def _lorenz(found: Findings) -> str:
    curves = found.exposure.lorenz
    chosen = dict.fromkeys((found.primary, rival_of(found.rankers)))
    series = [Series(name, _curve(curves[name]), "mine" if name == found.primary else "other") for name in chosen]
    x = Axis(_SHARES, "share of the candidate items, the least shown first")
    y = Axis(_SHARES, "share of the exposure")
    said = "<h3>Concentration of exposure</h3><p>The lower the curve, the fewer items share the attention.</p>"
    return said + line_plot(series, x, y, "Lorenz curve of exposure", diagonal=True)


def _curve(held: list[float]) -> list[tuple[float, float]]:
    return [(at / (len(held) - 1), share) for at, share in enumerate(held)]


def _groups(by: GroupExposure, found: Findings) -> str:
    primary, rival = found.primary, rival_of(found.rankers)
    title = f"Exposure by {escape(by.attribute)}: {escape(primary)} against what users answered"
    lead = (
        f"Share of exposure minus share of the relevant candidates: right of 0, shown more than answered. {by.count:,} "
        "different among the candidates."
    )
    rows = [Row(one.name, one.gap, "mine" if one.gap.low > 0 or one.gap.high < 0 else "other") for one in by.groups]
    cells = [
        [
            one.name,
            f"{one.items:,}",
            *(f"{share:.1%}" for share in (one.candidates, one.relevance, one.exposure[primary], one.exposure[rival])),
        ]
        for one in by.groups
    ]
    head = [by.attribute, "items", "of candidates", "of answers", f"of exposure, {primary}", rival]
    return card(title, lead, interval_plot(rows, title, signed=True) + table(head, cells, head[4]))
