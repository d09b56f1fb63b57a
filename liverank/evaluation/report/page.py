"""The report as one HTML page that needs nothing but itself: no script, no font, no address."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from liverank.evaluation.bootstrap import Interval
from liverank.evaluation.findings import EvaluationResult, Findings
from liverank.evaluation.gate import CHAMPION
from liverank.evaluation.measure import AT_K
from liverank.evaluation.report.plots import Row, distribution_plot, interval_plot, verdict_kind

REPORT_FILE = "report.html"
NAMES = {
    "ndcg": "NDCG",
    "hit_rate": "HR",
    "recall": "Recall",
    "mrr": "MRR",
    "map": "MAP",
    "precision": "Precision",
    "auc": "AUC",
    "coverage": "Coverage",
    "diversity": "Diversity",
    "novelty": "Novelty",
}


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
        _distribution(found),
        _table(found),
        _reading(found),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation of {result.bundle_hash[:8]}</title>\n<style>\n{style}</style></head>\n"
        f'<body><main>\n<h1>Offline evaluation</h1>\n<p class="quiet">Bundle {result.bundle_hash[:12]}, ranker '
        f"<b>{escape(found.primary)}</b>, on {found.requests:,} test requests</p>\n{body}\n</main></body></html>\n"
    )


def _card(title: str, lead: str, content: str) -> str:
    return f'<section class="card"><h2>{title}</h2><p class="quiet">{lead}</p>{content}</section>'


def _name(metric: str, k: int) -> str:
    return f"{NAMES[metric]}@{k}" if metric in AT_K else NAMES[metric]


def _deciding(found: Findings) -> str:
    return _name(found.metric, found.k)


def _rival(found: Findings) -> str:
    """Whom the slices and the distribution compare with: the champion, or the incoming order before there is one."""
    return CHAMPION if CHAMPION in found.differences else "incoming"


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
        ("Deciding metric", _deciding(found), f"{found.confidence:.0%} intervals"),
        (
            "Champion",
            result.champion_hash[:8] or "none yet",
            "scored on the same lists" if result.champion_hash else "the baselines decide",
        ),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
    return f'<section class="card"><dl class="facts">{items}</dl></section>'


def _by_ranker(found: Findings) -> str:
    ordered = sorted(found.rankers.items(), key=lambda entry: -_sortable(entry[1][found.metric]))
    rows = [Row(name, metrics[found.metric], "mine" if name == found.primary else "other") for name, metrics in ordered]
    lead = "Mean over the judged requests, with its bootstrap interval. Every ranker has seen the very same lists."
    title = f"{_deciding(found)} by ranker"
    return _card(title, lead, interval_plot(rows, title))


def _sortable(interval: Interval) -> float:
    return interval.mean if np.isfinite(interval.mean) else -np.inf


def _forest(found: Findings) -> str:
    gaps = {name: metrics[found.metric] for name, metrics in found.differences.items()}
    ordered = sorted(gaps.items(), key=lambda entry: (entry[0] != CHAMPION, -_sortable(entry[1])))
    rows = [Row(f"minus {name}", gap, verdict_kind(gap)) for name, gap in ordered]
    title = f"{_deciding(found)}: {escape(found.primary)} against each other ranker"
    lead = f"Paired differences, request by request, on the same resamples. {_key()}"
    return _card(title, lead, interval_plot(rows, title, signed=True))


def _key() -> str:
    marks = (("good", "better"), ("even", "cannot be told"), ("bad", "worse"))
    return '<br><span class="key">' + "".join(f'<b class="{kind}"></b>{name}' for kind, name in marks) + "</span>"


def _slices(found: Findings) -> str:
    rival = _rival(found)
    title = f"{_deciding(found)} by slice: {escape(found.primary)} against {escape(rival)}"
    if not found.slices:
        return _card(title, "No slice has enough judged requests.", "")
    rows = [
        Row(f"{part.name} · {part.requests}", part.gaps[rival], verdict_kind(part.gaps[rival])) for part in found.slices
    ]
    lead = f"Paired differences on parts of the requests; the number after the name is how many. {_key()}"
    return _card(title, lead, interval_plot(rows, title, signed=True) + _slice_table(found, rival))


def _slice_table(found: Findings, rival: str) -> str:
    lines = "".join(
        f"<tr><td>{escape(part.name)}</td><td>{part.requests:,}</td>{_cell(part.means[found.primary])}"
        f"{_cell(part.means[rival])}</tr>"
        for part in found.slices
    )
    return (
        '<details><summary>Means by slice</summary><div class="wide"><table><thead><tr><th>slice</th><th>requests</th>'
        f"<th>{escape(found.primary)}</th><th>{escape(rival)}</th></tr></thead><tbody>{lines}</tbody></table></div></details>"
    )


def _distribution(found: Findings) -> str:
    rival = _rival(found)
    values = [found.per_request[name].per_request["ndcg"] for name in (found.primary, rival)]
    title = f"NDCG@{found.k} of single requests"
    lead = "Share of the judged requests by what their list earned: the mean hides how many users got nothing."
    return _card(title, lead, distribution_plot(values[0], values[1], (found.primary, rival), title))


def _table(found: Findings) -> str:
    names = list(found.rankers)
    head = "".join(f"<th{' class=mine' if name == found.primary else ''}>{escape(name)}</th>" for name in names)
    lines = []
    for metric in NAMES:
        row = [found.rankers[name][metric] for name in names]
        best = max(_sortable(interval) for interval in row)
        cells = "".join(_cell(interval, interval.mean == best) for interval in row)
        lines.append(f"<tr><td>{_name(metric, found.k)}</td>{cells}</tr>")
    table = (
        f'<div class="wide"><table><thead><tr><th>metric</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    return _card("All metrics", "Mean and interval; the highest of each row in bold.", table)


def _cell(interval: Interval, best: bool = False) -> str:
    if not np.isfinite(interval.mean):
        return "<td>–</td>"
    kind = ' class="best"' if best else ""
    span = "" if interval.low == interval.high else f"<small>{interval.low:.3f} – {interval.high:.3f}</small>"
    return f"<td{kind}>{interval.mean:.4f}{span}</td>"


def _reading(found: Findings) -> str:
    return _card("How to read this", "", f"<ul>{''.join(f'<li>{line}</li>' for line in _notes(found))}</ul>")


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
