"""The sections on where quality comes from: the blend's parts, and the number of events."""

from __future__ import annotations

import math
from html import escape

from liverank.evaluation.findings import Findings
from liverank.evaluation.gate import figures
from liverank.evaluation.learning_curve import LearningCurve
from liverank.evaluation.report.curves import Axis, Series, line_plot, upwards
from liverank.evaluation.report.pieces import card, cell, deciding, details, key, sortable, table
from liverank.evaluation.report.plots import Row, interval_plot, verdict_kind


def ablation_section(found: Findings) -> str:
    """What the blend loses without each part."""
    of = found.ablations
    if of is None:
        return ""
    ordered = sorted(of.parts, key=lambda part: -sortable(part.brings))
    rows = [Row(part.part, part.brings, verdict_kind(part.brings)) for part in ordered]
    title = f"What each part brings: {deciding(found)} of the whole blend minus the blend without it"
    lead = (
        f"Weights learned without the part on one half of the users of the {of.requests:,} test requests and judged on "
        f"the other, both ways round; the others make up for what they can. The whole blend has {of.whole.mean:.4f}"
        + ("." if of.whole == of.served else f", the one of the bundle, with other weights, {of.served.mean:.4f}.")
        + f" {key()}"
    )
    cells = [[part.part, ", ".join(part.signals), cell(part.mean), figures(part.brings)] for part in ordered]
    head = ["without", "its signals", deciding(found), "whole minus it"]
    return card(title, lead, interval_plot(rows, title, signed=True) + details("Figures", table(head, cells)))


def curve_section(found: Findings) -> str:
    """Quality against the number of training events."""
    of = found.learning_curve
    if of is None:
        return ""
    what = "the latest events" if of.by == "time" else "all events of some users"
    lead = (
        f"Every ranker fitted on growing shares of the training events, {what}; the test requests, their histories and "
        f"their candidates stay the same. {_last_step(of)} {' '.join(map(escape, of.notes))}"
    )
    return card(f"{deciding(found)} against training events", lead, _curve(of, found) + _figures(of, found))


def _last_step(of: LearningCurve) -> str:
    before, last = of.points[-2], of.points[-1]
    gain = before.to_last
    kind = {"good": "still helps", "even": "cannot be told to help", "bad": "hurts"}[verdict_kind(gain)]
    return f"The last step, from {before.events:,} to {last.events:,} events, {kind}: {figures(gain)}."


def _curve(of: LearningCurve, found: Findings) -> str:
    series = []
    for name in of.points[-1].rankers:
        known = [(point.events, point.rankers[name]) for point in of.points]
        spans = [(span.low, span.high) for _, span in known] if name == found.primary else []
        kind = "mine" if name == found.primary else "other"
        series.append(Series(name, [(events, span.mean) for events, span in known], kind, spans))
    x = Axis([(point.events, _count(point.events)) for point in of.points], "training events", math.log)
    return line_plot(series, x, upwards(series, deciding(found)), f"{deciding(found)} against training events")


def _count(events: int) -> str:
    return f"{events / 1e6:.3g}M" if events >= 1e6 else f"{events / 1e3:.3g}k" if events >= 1e4 else f"{events:,}"


def _figures(of: LearningCurve, found: Findings) -> str:
    names = list(of.points[-1].rankers)
    head = ["share", "events", "users", "items", *names, "to the last"]
    rows = [
        [
            f"{point.share:.0%}",
            *(f"{count:,}" for count in (point.events, point.users, point.items)),
            *(cell(point.rankers[name]) for name in names),
            figures(point.to_last),
        ]
        for point in of.points
    ]
    return details("Figures", table(head, rows, found.primary))
