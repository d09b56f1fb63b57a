"""The report on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from liverank.experiments.analysis import Effect
from liverank.experiments.report import ExperimentReport


def tables(report: ExperimentReport) -> Iterator[Any]:
    """One rich table: the variants, or the preference."""
    from rich.table import Table

    title = f"{report.experiment}: {report.lists:,} lists of {report.users:,} users"
    if report.preference is not None:
        of = report.preference
        table = Table("variant", "won", "lost", "tied", "share", interval_title(report), "p", "", title=title)
        share = of.share
        table.add_row(
            of.variant, f"{of.wins:,}", f"{of.losses:,}", f"{of.ties:,}", figure(share.last.estimate),
            interval(share), f"{share.p_value:.2g}", verdict(share),
        )  # fmt: skip
        table.caption = (
            f"First answers of users: {of.firsts[0]:,} to {of.variant}, {of.firsts[1]:,} to the control; "
            f"exact p = {of.first_p_value:.2g}"
        )
        yield table
        return
    table = Table(
        "variant", "users", "lists", report.metric, "difference", interval_title(report), "lift", "p", "", title=title
    )
    for each in report.variants:
        gap = each.difference
        table.add_row(
            each.name, f"{each.users:,}", f"{each.lists:,}", figure(each.mean),
            "" if gap is None else figure(gap.last.estimate, "+"), "" if gap is None else interval(gap),
            "" if each.lift is None else f"{each.lift:+.1%}", "" if gap is None else f"{gap.p_value:.2g}",
            "" if gap is None else verdict(gap),
        )  # fmt: skip
    yield table


def interval_title(report: ExperimentReport) -> str:
    """Head of the intervals' column."""
    return f"{report.confidence:.3g} at all times"


def figure(value: float, sign: str = "") -> str:
    """A number, or a dash where there is none."""
    return f"{value:{sign}.4f}" if math.isfinite(value) else "–"


def interval(effect: Effect) -> str:
    """The sequence at the latest look."""
    last = effect.last
    if last.low is None or last.high is None:
        return "not yet"
    return f"{last.low:+.4f} to {last.high:+.4f}"


def verdict(effect: Effect) -> str:
    """What can be said, and since when."""
    return effect.verdict + (f" (after {effect.decided_after:,} lists)" if effect.decided_after else "")
