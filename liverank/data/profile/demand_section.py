"""The long tail of items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liverank.data.profile.charts import Axis, Frame, Line, lines, logarithmic
from liverank.data.profile.layout import card, none, section
from liverank.data.profile.numbers import count, share

_QUARTERS = [(at / 4, f"{25 * at} %") for at in range(5)]


def drawn(figures: Mapping[str, Any]) -> str:
    """The section."""
    found = figures["items"]
    if not found["active"]:
        return section("The long tail", card("", none("There is no event."), wide=True))
    return section("The long tail", _lorenz(found) + _zipf(found))


def _lorenz(found: dict[str, Any]) -> str:
    axis = Axis(0, 1, _QUARTERS)
    series = [
        Line("events", [(x, y) for x, y in found["lorenz"]]),
        Line("all items alike", [(0, 0), (1, 1)], series=7, dashed=True),
    ]
    chart = lines(Frame(axis, axis), series, "Lorenz curve", "share of items, from the least popular on", "")
    facts = [
        ("Gini", f"{found['gini']:.2f}"),
        ("top 1 % of items", share(found["top_shares"]["1%"], 1)),
        ("top 10 %", share(found["top_shares"]["10%"], 1)),
        ("with one event only", share(found["once"], found["active"])),
        ("of the catalogue without any", share(found["untouched"], found["catalogue"])),
    ]
    lead = "Share of the events that the least popular items have together: far below the diagonal, few have all."
    return card("Concentration", chart, lead, facts)


def _zipf(found: dict[str, Any]) -> str:
    points = [(float(rank), float(n)) for rank, n in found["zipf"]]
    title, lead = (
        "Events by rank",
        "Both scales logarithmic: a straight line is Zipf's law.",
    )
    frame = Frame(logarithmic(1, max(points[-1][0], 2)), logarithmic(1, max(points[0][1], 2)))
    chart = lines(frame, [Line("", points)], "Events by an item's rank", "rank of the item", "")
    facts = [("median item", count(found["events"]["p50"])), ("most popular", count(found["events"]["max"]))]
    if found["slope"] is not None:
        facts.insert(0, ("slope", f"{found['slope']:.2f}".replace("-", "−")))
    return card(title, chart, lead, facts)
