"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from liverank.evaluation.report import svg
from liverank.evaluation.report.pieces import card, table
from liverank.experiments.analysis import Effect, Point
from liverank.experiments.report import ExperimentReport
from liverank.experiments.table import figure, interval, interval_title, verdict

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 880.0, 78.0, 856.0, 30.0, 300.0


def write_page(path: Path, report: ExperimentReport) -> None:
    """Writes the page, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(page(report), encoding="utf-8")
    os.replace(part, path)


def page(report: ExperimentReport) -> str:
    """What can be said on top, then the figures, then the sequences over time."""
    style = resources.files("liverank.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    sections = [_verdict(report), _figures(report), *_plots(report), _reading(report)]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Experiment {escape(report.experiment)}</title>\n<style>\n{style}</style></head>\n"
        f'<body><main>\n<h1>Experiment {escape(report.experiment)}</h1>\n<p class="quiet">{report.lists:,} lists of '
        f"{report.users:,} users, judged by {escape(report.metric)}</p>\n{body}\n</main></body></html>\n"
    )


def _effects(report: ExperimentReport) -> list[tuple[str, Effect, float]]:
    """Name, effect and null value of everything that is watched."""
    if report.preference is not None:
        return [(report.preference.variant, report.preference.share, 0.5)]
    return [(each.name, each.difference, 0.0) for each in report.variants if each.difference is not None]


def _verdict(report: ExperimentReport) -> str:
    said = [f"{escape(name)}: {verdict(effect)}" for name, effect, _ in _effects(report)]
    said += [escape(warning) for warning in report.warnings]
    bad = (report.ratio is not None and report.ratio.mismatch) or any(
        effect.verdict == "worse" for _, effect, _ in _effects(report)
    )
    kind = " refused" if bad else ""
    lines = "".join(f"<li>{line}</li>" for line in said)
    return f'<section class="card verdict{kind}"><h2>Against the control</h2><ul>{lines}</ul></section>'


def _figures(report: ExperimentReport) -> str:
    if report.preference is not None:
        return _preference(report)
    head = ["variant", "users", "lists", report.metric, "difference", interval_title(report), "lift", "p"]
    rows = []
    for each in report.variants:
        gap = each.difference
        row = [each.name, f"{each.users:,}", f"{each.lists:,}", figure(each.mean)]
        if gap is not None:
            lift = "–" if each.lift is None else f"{each.lift:+.1%}"
            row += [figure(gap.last.estimate, "+"), interval(gap), lift, f"{gap.p_value:.2g}"]
        rows.append([*row, *[""] * (len(head) - len(row))])
    ratio = report.ratio
    told = ""
    if ratio is not None:
        expected = ", ".join(f"{escape(name)} {share:.1%}" for name, share in ratio.shares.items())
        told = f" Users against the shares ({expected}): p = {ratio.p_value:.2g}."
    return card("Figures", f"Means over lists, with users as the unit.{told}", table(head, rows))


def _preference(report: ExperimentReport) -> str:
    of = report.preference
    assert of is not None
    row = [of.variant, f"{of.wins:,}", f"{of.losses:,}", f"{of.ties:,}", figure(of.share.last.estimate)]
    row += [interval(of.share), f"{of.share.p_value:.2g}"]
    head = ["variant", "lists won", "lost", "tied", "share won", interval_title(report), "p"]
    lead = (
        f"A list is won by the side with more answered lines. Users' first answers: {of.firsts[0]:,} to "
        f"{escape(of.variant)}, {of.firsts[1]:,} to the control; exact p = {of.first_p_value:.2g}."
    )
    return card("Figures", lead, table(head, [row]))


def _plots(report: ExperimentReport) -> Iterator[str]:
    for name, effect, null in _effects(report):
        title = f"{escape(name)} over time"
        lead = "The estimate and its confidence sequence by lists shown; the dashed line is no difference."
        yield card(title, lead, sequence_plot(effect.points, null, f"Confidence sequence of {name}"))


def sequence_plot(points: Sequence[Point], null: float, label: str) -> str:
    """A line in its band; the band begins where the sequence does."""
    banded = [(point.lists, point.low, point.high) for point in points if point.low is not None]
    drawn = [point for point in points if point.low is not None]
    if len(drawn) < 2:
        return "<p>Too few users yet for a sequence.</p>"
    # The widest, at the start, would leave no room for the rest.
    shown = drawn[len(drawn) // 10 :]
    ends = [value for point in shown for value in (point.low or 0.0, point.high or 0.0)]
    low, high = min(*ends, null), max(*ends, null)
    across = svg.linear(0, points[-1].lists, LEFT, RIGHT)
    scale = svg.linear(low, high, BOTTOM, TOP)

    def up(value: float) -> float:
        return min(max(scale(value), TOP), BOTTOM)

    shapes = [svg.text(RIGHT, BOTTOM + 38, "lists", "tick", "end")]
    for tick in svg.ticks(low, high):
        shapes += [svg.line(LEFT, up(tick), RIGHT, up(tick), "grid")]
        shapes += [svg.text(LEFT - 8, up(tick) + 4, f"{tick:g}", "tick", "end")]
    for tick in svg.ticks(0, points[-1].lists):
        shapes.append(svg.text(across(tick), BOTTOM + 18, f"{tick:,.0f}", "tick", "middle"))
    upper = [(across(at), up(top or 0.0)) for at, _, top in banded]
    lower = [(across(at), up(bottom or 0.0)) for at, bottom, _ in banded]
    shapes += [svg.area([*upper, *reversed(lower)], "band"), svg.line(LEFT, up(null), RIGHT, up(null), "zero")]
    shapes.append(svg.path([(across(point.lists), up(point.estimate)) for point in drawn], "mine"))
    return svg.drawing(WIDTH, BOTTOM + 46, shapes, label)


def _reading(report: ExperimentReport) -> str:
    missed = 1 - report.confidence
    lines = [
        f"The sequences hold at all times together: the chance that one ever misses is {missed:.2g}, however often one "
        "looks and whenever one stops.",
        f"They are narrowest after about {report.tightest:,} lists and wider than the interval of one look would be: "
        "that is the price of looking.",
        "They are asymptotic, with users as the unit; p is the smallest so far.",
    ]
    return card("How to read this", "", f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>")
