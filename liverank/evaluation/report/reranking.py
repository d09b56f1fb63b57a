"""The sections on the language model of a cascade: what its time is worth, and what it makes of changed texts."""

from __future__ import annotations

import math
from html import escape

from liverank.evaluation.findings import Findings
from liverank.evaluation.gate import figures
from liverank.evaluation.report.curves import Axis, Series, line_plot, upwards
from liverank.evaluation.report.pieces import card, cell, deciding, details, table


def budgets_section(found: Findings) -> str:
    """Quality against the milliseconds that a request leaves the language model."""
    of = found.budgets
    if of is None or not of.points:
        return ""
    title = f"{deciding(found)} against time for the language model"
    lead = (
        f"On the machine that evaluated, reading a history took {of.history_ms:g} ms and each candidate "
        f"{of.candidate_ms:g} ms more (medians). What is not read in time stays in the blend's order."
    )
    spans = [(point.mean.low, point.mean.high) for point in of.points]
    mine = Series(found.primary, [(point.milliseconds, point.mean.mean) for point in of.points], "mine", spans)
    blend = found.rankers["blend"][found.metric].mean
    alone = Series("blend", [(point.milliseconds, blend) for point in of.points], "other")
    x = Axis([(point.milliseconds, f"{point.milliseconds:g}") for point in of.points], "milliseconds", math.log)
    plot = line_plot([mine, alone], x, upwards([mine, alone], deciding(found)), title) if len(of.points) > 1 else ""
    rows = [[f"{point.milliseconds:g}", str(point.read), cell(point.mean), figures(point.gain)] for point in of.points]
    return card(title, lead, plot + details("Figures", table(["ms", "read", deciding(found), "minus the blend"], rows)))


def texts_section(found: Findings) -> str:
    """What harmless changes and instructions inside texts do to the best."""
    of = found.text_robustness
    if of is None:
        return ""
    lead = (
        f"{of.requests:,} test requests with the texts of the best candidates changed. Harmless changes, made to all, "
        "should leave the first one first; a sentence before the text of one that stands low should not bring it "
        f"there. An attack moved its candidate {of.places:+.2f} places on average."
    )
    harmless = [[escape(name), f"{share:.1%}"] for name, share in of.harmless.items()]
    attacks = [[escape(name), f"{share:.1%}"] for name, share in of.attacks.items()]
    body = table(["harmless change", "another first item"], harmless) + table(
        ["before one text", "came first"], attacks
    )
    return card("Changed texts", lead, body)
