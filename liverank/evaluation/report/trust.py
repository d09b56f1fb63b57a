"""The sections on what the scores can be trusted to mean: probabilities, and independence of the incoming order."""

from __future__ import annotations

from html import escape

from liverank.evaluation.calibration import Calibration, Quality
from liverank.evaluation.findings import Findings
from liverank.evaluation.order_sensitivity import OrderSensitivity
from liverank.evaluation.report.curves import Axis, Series, line_plot, root
from liverank.evaluation.report.pieces import card, cell, figure, table

_TICKS = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
LEAST_APART = 0.09
"""Marks nearer than this share of the axis are left out."""


def calibration_section(found: Findings) -> str:
    """The reliability diagram, and what a temperature would mend."""
    of = found.calibration
    if of is None:
        return card("Scores as probabilities", "No list has an answer beside another candidate.", "")
    lead = (
        f"Softmax of the scores of {escape(of.ranker)} over each of the {of.lists:,} lists with an answer, against how "
        "often such candidates were the answer. On the dashed line the probabilities are right; below it the model is "
        "too sure. They say which candidate an answer falls on, not whether there will be one: no click rate."
    )
    return card("Scores as probabilities", lead, _diagram(of) + _qualities(of) + f"<p>{_advice(of)}</p>")


def _diagram(of: Calibration) -> str:
    points = [(one.probability, one.answered.mean) for one in of.bins]
    spans = [(one.answered.low, one.answered.high) for one in of.bins]
    top = min(1.0, max(max(x, y, high) for (x, y), (_, high) in zip(points, spans, strict=True)))
    ticks = _marks(next(tick for tick in _TICKS if tick >= top))
    x, y = Axis(ticks, "what the model says", root), Axis(ticks, "share of answers", root)
    plot = line_plot([Series(of.ranker, points, "mine", spans)], x, y, "Reliability diagram", 620.0, diagonal=True)
    return plot.replace("<svg ", '<svg class="square" ', 1)


def _marks(top: float) -> list[tuple[float, str]]:
    """Round marks up to `top`, the last one, not too near each other on an axis of roots."""
    kept: list[float] = [top]
    for tick in sorted((tick for tick in _TICKS if tick < top), reverse=True):
        if root(kept[-1]) - root(tick) >= LEAST_APART * root(top):
            kept.append(tick)
    return [(tick, f"{100 * tick:g} %") for tick in reversed(kept)]


def _qualities(of: Calibration) -> str:
    named = {"as scored": of.as_scored, f"at temperature {of.temperature:.3g}": of.at_temperature}
    rows = [[name, *_row(quality)] for name, quality in named.items()]
    rows.append(["all candidates alike", "–", "–", figure(of.uniform_brier), figure(of.uniform_log_loss)])
    return table(["", "calibration error", "of a list", "Brier", "log loss"], rows)


def _row(quality: Quality) -> list[str]:
    return [f"{quality.ece:.5f}", f"{quality.ece_per_list:.4f}", cell(quality.brier), cell(quality.log_loss)]


def _advice(of: Calibration) -> str:
    if 0.9 <= of.temperature <= 1.1:
        return "The scores are as sure as they should be: no temperature would mend much."
    known = "too sure" if of.temperature > 1 else "too timid"
    return (
        f"The scores are {known}: divided by {of.temperature:.3g} they would fit. The ranking does not change by that."
    )


def order_section(found: Findings) -> str:
    """What shuffled candidates change."""
    if not found.order:
        return ""
    first = found.order[0]
    lead = (
        f"{first.requests:,} lists, each scored again {first.shuffles} times with its candidates shuffled. Changed: "
        "other than among items of exactly equal score; a sound ranker has 0. "
    )
    if first.order_is_signal:
        lead += (
            f"For {first.order_is_signal:.0%} of them the proposer gave no scores, so that its order is a signal; the "
            "shuffled lists keep it as scores, and the last column shows what happens without."
        )
    head = ["ranker", "rankings changed", "largest change of a score", *_last(first, "changed when the order is lost")]
    rows = [
        [
            one.ranker,
            f"{one.changed:.2%}",
            f"{one.largest_difference:.2g}",
            *_last(one, f"{one.changed_without_signal:.2%}"),
        ]
        for one in found.order
    ]
    return card("Does the order of the candidates matter?", lead, table(head, rows))


def _last(one: OrderSensitivity, content: str) -> list[str]:
    return [content] if one.order_is_signal else []
