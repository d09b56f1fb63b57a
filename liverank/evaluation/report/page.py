"""The report as one HTML page that needs nothing but itself: no script, no font, no address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path

from liverank.evaluation.findings import EvaluationResult, Findings, rival_of
from liverank.evaluation.gate import CHAMPION
from liverank.evaluation.report.attention import exposure_section
from liverank.evaluation.report.explanations import faithfulness_section
from liverank.evaluation.report.learning import ablation_section, curve_section
from liverank.evaluation.report.pieces import QUALITY, card, cell, deciding, key, metric_name, sortable
from liverank.evaluation.report.plots import Row, distribution_plot, interval_plot, verdict_kind
from liverank.evaluation.report.reranking import budgets_section, texts_section
from liverank.evaluation.report.trust import calibration_section, order_section
from liverank.evaluation.report.users import groups_section

REPORT_FILE = "report.html"


def write_report(out: Path, result: EvaluationResult) -> Path:
    """Writes `report.html` into `out`, whole or not at all."""
    path = out / REPORT_FILE
    part = path.with_suffix(".part")
    part.write_text(page(result), encoding="utf-8")
    os.replace(part, path)
    return path


def page(result: EvaluationResult) -> str:
    """The page: the verdict on top, then plots, then every figure."""
    found = result.findings
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    sections = [
        _verdict(result),
        _facts(result),
        _by_ranker(found),
        _forest(found),
        _slices(found),
        groups_section(found),
        _distribution(found),
        exposure_section(found),
        calibration_section(found),
        order_section(found),
        faithfulness_section(found),
        texts_section(found),
        budgets_section(found),
        ablation_section(found),
        curve_section(found),
        _table(found),
        _reading(found),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {result.bundle_hash[:8]}</title>\n<style>\n{style}</style></head>\n"
        f'<body><main>\n<h1>Offline evaluation</h1>\n<p class="quiet">Bundle {result.bundle_hash[:12]}, ranker '
        f"<b>{escape(found.primary)}</b>, on {found.requests:,} test requests</p>\n{body}\n</main></body></html>\n"
    )


def _verdict(result: EvaluationResult) -> str:
    kind, title = ("", "Promote") if result.promote else (" refused", "Do not promote")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.reasons)
    return f'<section class="card verdict{kind}"><h2>{title}</h2><ul>{reasons}</ul></section>'


def _facts(result: EvaluationResult) -> str:
    found = result.findings
    sources = ", ".join(f"{count:,} {escape(source)}" for source, count in found.sources.items())
    facts = [
        ("Judged requests", f"{found.judged:,}", f"of {found.requests:,}: {sources}"),
        ("Users", f"{found.users:,}", "resampled for the intervals"),
        ("Deciding metric", deciding(found), f"{found.confidence:.0%} intervals"),
        (
            "Champion",
            result.champion_hash[:8] or "none yet",
            "scored on the same lists" if result.champion_hash else "the baselines decide",
        ),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
    return f'<section class="card"><dl class="facts">{items}</dl></section>'


def _by_ranker(found: Findings) -> str:
    ordered = sorted(found.rankers.items(), key=lambda entry: -sortable(entry[1][found.metric]))
    rows = [Row(name, metrics[found.metric], "mine" if name == found.primary else "other") for name, metrics in ordered]
    lead = "Mean over the judged requests, with its bootstrap interval. Every ranker has seen the very same lists."
    title = f"{deciding(found)} by ranker"
    return card(title, lead, interval_plot(rows, title))


def _forest(found: Findings) -> str:
    gaps = {name: metrics[found.metric] for name, metrics in found.differences.items()}
    ordered = sorted(gaps.items(), key=lambda entry: (entry[0] != CHAMPION, -sortable(entry[1])))
    rows = [Row(f"minus {name}", gap, verdict_kind(gap)) for name, gap in ordered]
    title = f"{deciding(found)}: {escape(found.primary)} against each other ranker"
    lead = f"Paired differences, request by request, on the same resamples. {key()}"
    return card(title, lead, interval_plot(rows, title, signed=True))


def _slices(found: Findings) -> str:
    rival = rival_of(found.rankers)
    title = f"{deciding(found)} by slice: {escape(found.primary)} against {escape(rival)}"
    if not found.slices:
        return card(title, "No slice has enough judged requests.", "")
    rows = [
        Row(f"{part.name} · {part.requests}", part.gaps[rival], verdict_kind(part.gaps[rival])) for part in found.slices
    ]
    lead = f"Paired differences on parts of the requests; the number after the name is how many. {key()}"
    return card(title, lead, interval_plot(rows, title, signed=True) + _slice_table(found, rival))


def _slice_table(found: Findings, rival: str) -> str:
    lines = "".join(
        f"<tr><td>{escape(part.name)}</td><td>{part.requests:,}</td>{cell(part.means[found.primary])}"
        f"{cell(part.means[rival])}</tr>"
        for part in found.slices
    )
    return (
        '<details><summary>Means by slice</summary><div class="wide"><table><thead><tr><th>slice</th><th>requests</th>'
        f"<th>{escape(found.primary)}</th><th>{escape(rival)}</th></tr></thead><tbody>{lines}</tbody></table></div></details>"
    )


def _distribution(found: Findings) -> str:
    rival = rival_of(found.rankers)
    values = [found.per_request[name].per_request["ndcg"] for name in (found.primary, rival)]
    title = f"NDCG@{found.k} of single requests"
    lead = "Share of the judged requests by what their list earned: the mean hides how many users got nothing."
    return card(title, lead, distribution_plot(values[0], values[1], (found.primary, rival), title))


def _table(found: Findings) -> str:
    names = list(found.rankers)
    head = "".join(f"<th{' class=mine' if name == found.primary else ''}>{escape(name)}</th>" for name in names)
    lines = []
    for metric in QUALITY:
        row = [found.rankers[name][metric] for name in names]
        best = max(sortable(interval) for interval in row)
        cells = "".join(cell(interval, interval.mean == best) for interval in row)
        lines.append(f"<tr><td>{metric_name(metric, found.k)}</td>{cells}</tr>")
    table = (
        f'<div class="wide"><table><thead><tr><th>metric</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    return card("All metrics", "Mean and interval; the highest of each row in bold.", table)


def _reading(found: Findings) -> str:
    return card("How to read this", "", f"<ul>{''.join(f'<li>{line}</li>' for line in _notes(found))}</ul>")


def _notes(found: Findings) -> Iterator[str]:
    yield (
        "Equal scores keep the incoming order. Requests without a relevant item are not judged; diversity and novelty "
        "are means over all requests."
    )
    yield "Intervals resample users, as requests of one user are not independent; all rankers share the resamples."
    if "retriever" in found.sources:
        yield (
            "Requests from the retriever: a relevant item that the candidates lack counts as missed, so that no ranker "
            "can reach 1 and all are judged alike."
        )
    if "impressions" in found.sources:
        yield (
            "Requests from impressions: relevant is what the user answered in the list as it was shown, with its "
            "position bias."
        )
    yield "Coverage is a share of the whole catalogue and grows with the number of requests; it has no interval."
