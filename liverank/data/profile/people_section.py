"""What users do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from liverank.data.profile.behaviour import BURST, REGULAR_GAPS, SLEEPLESS
from liverank.data.profile.charts import bars
from liverank.data.profile.layout import card, histogram, none, quantiles, section, table
from liverank.data.profile.numbers import count, share

_RULES: Final = {
    "bursts": f"{BURST} different moments in one hour",
    "sleepless": f"events in {SLEEPLESS} different hours of one day",
    "regular": f"{REGULAR_GAPS} gaps as regular as a clock",
}


def drawn(figures: Mapping[str, Any]) -> str:
    """The section."""
    users, visits = figures["users"], figures["sessions"]
    if not users["active"]:
        return section("Users", card("", none("There is no event."), wide=True))
    minutes = visits["gap_minutes"]
    facts = [
        *quantiles(users["events"]),
        ("with one event only", share(users["once"], users["active"])),
        ("top 1 % of users have", share(users["top_shares"]["1%"], 1)),
    ]
    cards = [
        card(
            "Events of a user",
            histogram(users["events"], "Users by events", "events", "users"),
            "Users by events.",
            facts,
        ),
        card(
            "Events of a session",
            histogram(visits["events"], "Sessions by events", "events", "sessions"),
            f"Sessions by events; a session ends after {minutes} minutes without one, or where the source says so.",
            [("sessions", count(visits["events"]["n"])), *quantiles(visits["events"])],
        ),
        card(
            "Length of a session",
            histogram(visits["seconds"], "Sessions by length", "from first to last event", "", seconds=True),
            "Sessions by the time from their first to their last event.",
            quantiles(visits["seconds"], seconds=True),
        ),
        card(
            "Gaps",
            histogram(visits["gaps"], "Gaps by length", "from one moment to the user's next", "", seconds=True),
            "Time between a user's moments; events at one instant are one moment.",
            quantiles(visits["gaps"], seconds=True),
        ),
        _baskets(figures["baskets"]),
        _repeats(figures["repeats"]),
        _bots(figures),
    ]
    return section("Users", "".join(cards))


def _baskets(found: dict[str, Any]) -> str:
    chart = histogram(found["items"], "Baskets by items", "items", "baskets")
    lead = f"Different items of one user at one instant, of type {found['type']}."
    return card("Baskets", chart, lead, [("baskets", count(found["items"]["n"])), *quantiles(found["items"])])


def _repeats(found: list[dict[str, Any]]) -> str:
    rows = [
        (row["type"], row["again"] / row["n"], f"{share(row['again'], row['n'])} of {count(row['n'])}")
        for row in found[:10]
    ]
    lead = "Events on an item for which the same user had one of that type before."
    return card("Coming back to an item", bars(rows, "Repeats by type", label=110, number=150, full=1), lead)


def _bots(figures: Mapping[str, Any]) -> str:
    found, total = figures["bots"], sum(figures["volume"]["totals"].values())
    lead = "Users whose events look like no person's; one can break several rules. Who they are is not said here."
    rows = [
        [_RULES[row["rule"]], count(row["users"]), count(row["events"]), share(row["events"], total)]
        for row in found["rules"]
    ]
    rows.append(["any of them", count(found["users"]), count(found["events"]), share(found["events"], total)])
    return card("Likely bots", table(["rule", "users", "events", "share"], rows), lead, wide=True)
