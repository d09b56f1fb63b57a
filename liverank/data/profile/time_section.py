"""When things happen: volumes, the week, what is new, what is late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from liverank.data.profile.charts import Axis, Frame, Line, heat, linear, lines, stacked
from liverank.data.profile.layout import card, histogram, moment, named, none, quantiles, section, table
from liverank.data.profile.numbers import count, many, share

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def drawn(figures: Mapping[str, Any]) -> str:
    """The section."""
    parts = [
        _volume(figures["volume"]),
        _week(figures["week"]),
        _unseen(figures),
        _types(figures["types"]),
        _late(figures["late"]),
    ]
    return section("When things happen", "".join(parts))


def _volume(volume: dict[str, Any]) -> str:
    points, bucket = volume["points"], volume["bucket"]
    if not points:
        return card("Events over time", none("There is no event."), wide=True)
    instants = [point["at"] for point in points]
    chart = stacked(
        [moment(at, bucket) for at in instants],
        volume["types"],
        [point["types"] for point in points],
        f"Events per {bucket} by type",
        named(instants, bucket, 9),
    )
    left = volume["left"]
    lead = ""
    if left["events"] or left["lists"]:
        what = f"{many(left['events'], 'event', 'events')} and {many(left['lists'], 'list', 'lists')}"
        span = f"from {left['first'][:10]} to {left['last'][:10]}"
        lead = f"Left out of all charts over time, as they lie far from all else: {what}, {span}."
    parts = card(f"Events per {bucket}", chart, lead, wide=True)
    shown = [point["lists"] for point in points]
    if any(shown):
        lists = stacked(
            [moment(at, bucket) for at in instants],
            ["lists"],
            [[n] for n in shown],
            f"Lists shown per {bucket}",
            named(instants, bucket, 9),
        )
        parts += card(f"Lists shown per {bucket}", lists, wide=True)
    return parts


def _types(rows: list[dict[str, Any]]) -> str:
    total = sum(row["n"] for row in rows)
    lines = [
        [row["type"], count(row["n"]), share(row["n"], total), count(row["users"]), count(row["items"])] for row in rows
    ]
    lead = "Users and items are estimates, to some 2 %."
    return card("Types of events", table(["type", "events", "share", "users", "items"], lines), lead)


def _week(grid: list[list[int]]) -> str:
    lead = "Hours are UTC: a shop's own day may be shifted."
    total = sum(map(sum, grid))
    if not total:
        return card("The week", none("There is no event."), lead)
    by_day = [sum(row) for row in grid]
    busiest = max(range(7), key=by_day.__getitem__)
    by_hour = [sum(row[hour] for row in grid) for hour in range(24)]
    peak = max(range(24), key=by_hour.__getitem__)
    facts = [
        ("busiest day", f"{_DAYS[busiest]} ({share(by_day[busiest], total)})"),
        ("busiest hour", f"{peak:02d}:00 ({share(by_hour[peak], total)})"),
    ]
    return card("The week", heat(grid, _DAYS, "Events by weekday and hour"), lead, facts)


def _unseen(figures: Mapping[str, Any]) -> str:
    rows, bucket = figures["unseen"], figures["volume"]["bucket"]
    title = f"Never seen before that {bucket}"
    lead = f"Share of the events of a {bucket} on items, and by users, whose first event lies in it: cold start."
    if len(rows) < 2:
        return card(title, none(f"It takes events of two {bucket}s."), lead)
    axis = Axis(0, len(rows) - 1, named([row["at"] for row in rows], bucket, 4))
    series = [
        Line(name, [(at, row[name.split()[1]] / row["n"]) for at, row in enumerate(rows)], series=place)
        for place, name in enumerate(("new items", "new users"))
    ]
    top = max(y for line in series for _, y in line.points)
    chart = lines(Frame(axis, linear(top, _percent)), series, "Share of events on new items and by new users")
    late = rows[len(rows) // 2 :]
    total = sum(row["n"] for row in late)
    facts = [
        ("in the later half: new items", share(sum(row["items"] for row in late), total)),
        ("new users", share(sum(row["users"] for row in late), total)),
    ]
    return card(title, chart, lead, facts)


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


def _late(late: dict[str, Any]) -> str:
    spread = late["seconds"]
    if spread is None:
        text = "No event says when it arrived (received_at): each counts as known at once, when it happened."
        return card("How late events arrive", none(text))
    facts = [*quantiles(spread, seconds=True), ("said by", share(late["told"], late["n"]))]
    if late["early"]:
        facts.append(("received before they happened", count(late["early"])))
    lead = "From the event's time to its arrival; features use an event only from its arrival on."
    chart = histogram(spread, "Events by how late they arrived", "later by", "events", seconds=True)
    return card("How late events arrive", chart, lead, facts)
