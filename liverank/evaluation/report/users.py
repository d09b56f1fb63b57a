"""The section on groups of users."""

from __future__ import annotations

from html import escape

from liverank.evaluation.findings import Findings, rival_of
from liverank.evaluation.gate import figures
from liverank.evaluation.groups import GroupingResult
from liverank.evaluation.report.pieces import card, deciding, details, table
from liverank.evaluation.report.plots import Row, interval_plot


def groups_section(found: Findings) -> str:
    """The deciding metric by group of users, and the largest gap of each way to tell users apart."""
    title = f"{deciding(found)} by group of users"
    compared = [by for by in found.groups if by.gap]
    if not compared:
        return card(title, "No two groups of users have enough judged requests and users to be compared.", "")
    lead = (
        f"Means of {escape(found.primary)} with their intervals; the number after the name is of requests. The largest "
        "gap is between the best and the worst group, its interval widened for having picked that pair."
    )
    return card(title, lead, "".join(_grouping(by, found) for by in compared))


def _grouping(by: GroupingResult, found: Findings) -> str:
    rows = [Row(f"{one.name} · {one.requests}", one.mean, "mine") for one in by.groups]
    rival = rival_of(found.rankers)
    cells = [[one.name, f"{one.requests:,}", f"{one.users:,}", figures(one.gain)] for one in by.groups]
    left = f" {by.left_out:,} requests are of no group that is large enough." if by.left_out else ""
    return (
        f"<h3>{escape(by.name)}</h3><p>{_gap(by, rival)}{left}</p>"
        f"{interval_plot(rows, f'{deciding(found)} by {by.name}')}"
        + details("Gains by group", table(["group", "requests", "users", f"{found.primary} minus {rival}"], cells))
    )


def _gap(by: GroupingResult, rival: str) -> str:
    gap = by.gap
    if gap is None:
        return ""
    sure = "is" if gap.difference.low > 0 else "may be"
    return (
        f"<b>{escape(gap.best)}</b> {sure} ahead of <b>{escape(gap.worst)}</b> by {figures(gap.difference)}; the gains "
        f"over {escape(rival)} differ by {figures(gap.gain_difference)}."
    )
