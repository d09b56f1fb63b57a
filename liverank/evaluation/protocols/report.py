"""The report of a protocol run as one HTML page that needs nothing but itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from liverank.evaluation.protocols.results import ALL, Figure, Finding, ProtocolResult, Table
from liverank.evaluation.protocols.trained import told as trained
from liverank.evaluation.report.page import REPORT_FILE
from liverank.evaluation.report.plots import Row, distribution_plot, interval_plot, verdict_kind

NAMES = {"ndcg": "NDCG", "hit_rate": "HR", "recall": "Recall", "mrr": "MRR"}
KEY = (
    '<br><span class="key"><b class="good"></b>better<b class="even"></b>cannot be told<b class="bad"></b>worse</span>'
)


def write_report(out: Path, result: ProtocolResult, first: Table) -> Path:
    """Writes `report.html` into `out`, whole or not at all; `first` is the table of which single requests are shown."""
    path = out / REPORT_FILE
    part = path.with_suffix(".part")
    part.write_text(page(result, first), encoding="utf-8")
    os.replace(part, path)
    return path


def page(result: ProtocolResult, first: Table) -> str:
    """The page: what was measured, then plots and figures of each table, then what it cost."""
    style = resources.files("liverank.evaluation.report").joinpath("page.css").read_text(encoding="utf-8")
    cards = [_facts(result), *_findings(result), _distribution(first, result.k), _cost(result), _reading(result)]
    title = f"Protocol {escape(result.protocol)} on {escape(str(result.data['name']))}"
    body = "\n".join(cards)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n"
        f"<body><main>\n<h1>{title}</h1>\n{body}\n</main></body></html>\n"
    )


def _card(title: str, lead: str, content: str) -> str:
    return f'<section class="card"><h2>{title}</h2><p class="quiet">{lead}</p>{content}</section>'


def _facts(result: ProtocolResult) -> str:
    told = {
        **result.data,
        **{name: value for name, value in result.settings.items() if value not in (0, "", False, [])},
    }
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(_told(value))}</dd></div>" for name, value in told.items()
    )
    training = f'<p class="quiet training">{escape(trained(result.training))}</p>'
    return f'<section class="card"><dl class="facts">{items}</dl>{training}</section>'


def _told(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _findings(result: ProtocolResult) -> Iterator[str]:
    for finding in result.findings:
        part = "" if finding.group == ALL else f", {escape(finding.group)}"
        title = f"NDCG@{result.k}, {escape(finding.table)}{part}"
        lead = f"{escape(finding.lead)} {finding.requests:,} requests."
        content = interval_plot(_rows(finding), title)
        if finding.differences:
            content += f'<p class="quiet">Paired differences. {KEY}</p>' + interval_plot(_gaps(finding), title, True)
        yield _card(title, lead, content + _table(finding, result.k))


def _rows(finding: Finding) -> list[Row]:
    named = sorted(finding.rows.items(), key=lambda entry: -_mean(entry[1]["ndcg"]))
    return [Row(name, of["ndcg"].interval, "mine" if name.startswith("blend") else "other") for name, of in named]


def _gaps(finding: Finding) -> list[Row]:
    return [
        Row(name, of["ndcg"].interval, verdict_kind(of["ndcg"].interval)) for name, of in finding.differences.items()
    ]


def _mean(figure: Figure) -> float:
    return figure.interval.mean if np.isfinite(figure.interval.mean) else -np.inf


def _table(finding: Finding, k: int) -> str:
    metrics = list(next(iter(finding.rows.values())))
    head = "".join(f"<th>{_metric(name, finding, k)}</th>" for name in metrics)
    lines = []
    for name, of in finding.rows.items():
        lines.append(f"<tr><td>{escape(name)}</td>{''.join(_cell(of[metric]) for metric in metrics)}</tr>")
    return (
        f'<details><summary>All metrics</summary><div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _metric(name: str, finding: Finding, k: int) -> str:
    return NAMES[name] if name == "mrr" and finding.table != "logged lists" else f"{NAMES[name]}@{k}"


def _cell(figure: Figure) -> str:
    at = figure.interval
    if not np.isfinite(at.mean):
        return "<td>–</td>"
    seeds = (
        f"<small>seeds {', '.join(f'{value:.4f}' for value in figure.seeds)}</small>" if len(figure.seeds) > 1 else ""
    )
    return f"<td>{at.mean:.4f}<small>{at.low:.4f} – {at.high:.4f}</small>{seeds}</td>"


def _distribution(table: Table, k: int) -> str:
    names = list(table.values)[:2]
    if len(names) < 2:
        return ""
    one, other = table.compared[0] if table.compared else (names[0], names[1])
    values = [np.atleast_2d(table.values[name]["ndcg"])[0] for name in (one, other)]
    title = f"NDCG@{k} of single requests, {escape(table.name)}"
    lead = "Share of the requests by what their ranking earned: the mean hides how many got nothing. First seed."
    return _card(title, lead, distribution_plot(values[0], values[1], (one, other), title))


def _cost(result: ProtocolResult) -> str:
    rows = "".join(f"<tr><td>{escape(part)}</td><td>{value:,.1f} s</td></tr>" for part, value in result.seconds.items())
    return _card("Cost", f"Peak memory {result.peak_mib:,.0f} MiB.", f"<table><tbody>{rows}</tbody></table>")


def _reading(result: ProtocolResult) -> str:
    lines = [
        f"Intervals ({result.confidence:.0%}) resample users and are paired: all rows share the resamples. With "
        "several seeds they are those of the mean over seeds.",
    ]
    if result.protocol in ("leave-one-out", "temporal"):
        lines.append(
            "The plain recipes are fitted on the training alone; the weight between their sides is chosen on the "
            "validation. Rows of liverank's rankers have learned the validation's events too, but for those that say "
            "so: compare the plain rows with these."
        )
    if result.protocol == "lists":
        lines.append(
            "Rows of liverank's rankers have learned the events of the validation's time too, as a served model has; "
            "the incoming order is what its proposer made of what it knew then."
        )
    return _card("How to read this", "", f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>")
