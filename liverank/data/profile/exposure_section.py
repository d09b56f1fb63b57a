"""What shown lists led to: funnel, position bias, propensities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from liverank.data.profile.charts import Axis, Frame, Line, bars, columns, linear, lines
from liverank.data.profile.exposure import LEAST_EFFECTIVE, STAGES
from liverank.data.profile.layout import card, none, section, table
from liverank.data.profile.numbers import count, share

_WORDS: Final = {
    "shown": "shown",
    "view": "looked at",
    "click": "clicked",
    "cart": "put in a cart",
    "purchase": "bought",
}
MOST_DRAWN: Final = 50
"""Positions in the chart; the figures have more."""


def drawn(figures: Mapping[str, Any]) -> str:
    """The section."""
    found = figures["exposure"]
    if not found["lists"] or not found["position"]:
        text = none(
            "No shown list was logged: there is no funnel, no position bias and no counterfactual evaluation, and "
            "negatives have to be sampled."
        )
        return section("What was shown, and what came of it", card("", text, wide=True))
    cards = [_funnel(found), _surfaces(found), _position(found["position"]), _propensity(found["propensity"])]
    return section("What was shown, and what came of it", "".join(cards))


def _funnel(found: dict[str, Any]) -> str:
    row = found["funnel"][0]
    rows = []
    before = row["shown"]
    for stage in STAGES:
        of = "" if stage == "shown" else f" · {share(row[stage], before)}"
        rows.append((_WORDS[stage], row[stage], f"{count(row[stage])}{of}"))
        before = row[stage]
    lead = (
        "Lines of lists that reached each step, and their share of the step before. What was bought counts as "
        "clicked and looked at too, whatever was logged of it."
    )
    linked = found["answered"]
    if found["every"] > 1:
        lead += f" One list in {found['every']} is looked at here and below."
    facts = [
        ("lists", count(found["lists"])),
        ("mean length", f"{found['length']:.1f}"),
        ("events that name their list", share(linked["linked"], linked["events"])),
    ]
    return card("From shown to bought", bars(rows, "Funnel", label=100, number=150), lead, facts)


def _surfaces(found: dict[str, Any]) -> str:
    rows = [
        [
            "all" if row["surface"] is None else row["surface"] or "(not named)",
            count(row["shown"]),
            *(share(row[stage], row["shown"]) for stage in STAGES[1:]),
        ]
        for row in found["funnel"]
    ]
    lead = "Shares of the lines shown."
    heads = ["surface", "shown", *(_WORDS[stage].replace("put in a cart", "carted") for stage in STAGES[1:])]
    return card("By surface", table(heads, rows), lead)


def _position(found: dict[str, Any]) -> str:
    names = (("as shown", "all"), ("in random order", "random"), ("corrected", "corrected"))
    series = [_curve(name, found[key], at) for at, (name, key) in enumerate(names) if found[key]]
    top = max(high for line in series for _, _, high in line.band)
    last = int(max(x for x, _ in series[0].points))
    step = max(1, round(last / 10))
    axis = Axis(1, max(2, last), [(at, str(at)) for at in range(1, last + 1) if at == 1 or at % step == 0])
    chart = lines(Frame(axis, linear(top, _percent)), series, "Clicks by position", "position", "")
    return card("Clicks by position", chart, _position_lead(found), _position_facts(found))


def _curve(name: str, rows: list[dict[str, Any]], series: int) -> Line:
    drawn = [row for row in rows if row["position"] <= MOST_DRAWN]
    points = [(row["position"], row["rate"]) for row in drawn]
    return Line(name, points, [(row["position"], row["low"], row["high"]) for row in drawn], series)


def _position_lead(found: dict[str, Any]) -> str:
    text = "Share of lines clicked, with 95 % intervals. As shown mixes position with what the ranker put on top."
    if found["random"]:
        text += " Lists in random order show what position alone does."
    if found["corrected"]:
        text += (
            f" Corrected: all lists, weighed by inverse propensities while {LEAST_EFFECTIVE} effective ones are left."
        )
    return text


def _position_facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if found["power"]:
        fit = found["power"]
        said = f"−{fit['value']:.2f} ± {1.96 * fit['error']:.2f}"
        facts.append(("position alone: clicks ∝ position to the power", said))
    first, last = found["all"][0], found["all"][min(9, len(found["all"]) - 1)]
    if last["clicks"] and first is not last:
        ratio = first["rate"] / last["rate"]
        facts.append((f"as shown: position {first['position']} to {last['position']}", f"{ratio:.1f} : 1"))
    return facts


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _propensity(found: dict[str, Any]) -> str:
    title = "Propensities"
    if not found["told"]:
        return card(title, none("None are logged: a later ranker can only be evaluated with bias."))
    bins = [(f"<{one['to']:.2g}" if one["to"] < 1 else "≤1", one["n"]) for one in found["bins"]]
    lead = "The chance with which a line was picked for its position. Small ones make counterfactual estimates noisy."
    facts = [
        ("said by", f"{share(found['told'], found['lines'])} of lines"),
        ("smallest", f"{found['min']:.2g}"),
        ("largest", f"{found['max']:.2g}"),
        ("lines in random order", share(found["random"], found["lines"])),
    ]
    if found["broken"]:
        facts.append(("not in (0, 1]", count(found["broken"])))
    return card(title, columns(bins, "Lines by propensity", "propensity", ""), lead, facts)
