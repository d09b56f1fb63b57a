"""The section on explanations: what was said of the user's events, and what became of the scores without them."""

from __future__ import annotations

import math
from html import escape

from liverank.evaluation.faithfulness import Faithfulness
from liverank.evaluation.findings import Findings
from liverank.evaluation.gate import figures
from liverank.evaluation.report import svg
from liverank.evaluation.report.curves import Axis, Series, line_plot
from liverank.evaluation.report.pieces import card, cell, details, table
from liverank.evaluation.report.plots import Row, interval_plot

TITLE = "Do the named events matter as said?"


def faithfulness_section(found: Findings) -> str:
    """Told against true changes, and the named events against as many others."""
    of = found.faithfulness
    if of is None:
        return ""
    lead = (
        f"{of.items:,} best items of {of.requests:,} test requests: the events named for each ({of.named:.1f} items of "
        f"the history on average) are taken out of the history, and {escape(of.ranker)} scores the list again. On the "
        "dashed line the score changes as was told; below stands what as many other items of the same history change, "
        "drawn at random."
    )
    rows = [Row("named events", of.named_change, "mine"), Row("as many others", of.other_change, "other")]
    facts = (
        f"<p>{of.agreement.mean:.0%} of the scores change in the direction told; told and true changes differ by "
        f"{of.error.mean:.0%} of the true ones. The named change a score by {figures(of.difference)} more than the "
        "others.</p>"
    )
    return card(TITLE, lead, _diagram(of) + interval_plot(rows, "Change of a score without events") + facts + _all(of))


def _diagram(of: Faithfulness) -> str:
    if len(of.bins) < 2:
        return ""
    points = [(one.told, one.changed.mean) for one in of.bins]
    spans = [(one.changed.low, one.changed.high) for one in of.bins]
    values = [value for pair in (*points, *spans) for value in pair]
    ticks = _marks(min(0.0, *values), max(0.0, *values))
    x, y = Axis(ticks, "change that was told"), Axis(ticks, "change of the score")
    plot = line_plot([Series(of.ranker, points, "mine", spans)], x, y, "Told and true changes", 620.0, diagonal=True)
    return plot.replace("<svg ", '<svg class="square" ', 1)


def _marks(low: float, high: float) -> list[tuple[float, str]]:
    """Round marks from below `low` to above `high`."""
    inner = svg.ticks(low, high, 6)
    step = inner[1] - inner[0] if len(inner) > 1 else (high - low) or 1.0
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [(step * at, f"{step * at:.3g}") for at in range(first, max(last, first + 1) + 1)]


def _all(of: Faithfulness) -> str:
    rows = [
        ["direction agrees", cell(of.agreement)],
        ["relative error", cell(of.error)],
        ["correlation", f"{of.correlation:.3f}" if math.isfinite(of.correlation) else "–"],
        ["change without the named", cell(of.named_change)],
        ["without as many others", cell(of.other_change)],
        ["difference", cell(of.difference)],
    ]
    return details("Figures", table(["", "mean"], rows))
