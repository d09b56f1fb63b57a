"""The report: one HTML page for a person, complete in itself, that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from liverank.validation import portrait
from liverank.validation.charts import bars
from liverank.validation.result import CheckResult, Outcome, ValidationResult
from liverank.validation.samples import Sample
from liverank.validation.style import STYLE

MOST_BARS: Final = 12
_WORDS: Final[Mapping[Outcome, str]] = {
    "pass": "pass",
    "set-aside": "set aside",
    "warn": "warning",
    "stop": "stop",
    "error": "error",
}
_TITLES: Final = {
    "interactions": "Interactions",
    "impressions": "Impressions",
    "items": "Items",
    "users": "Users",
    "source": "Source",
}


def page(
    result: ValidationResult,
    samples: Mapping[str, Sample],
    source: Mapping[str, Any],
    now: datetime,
    records: Sequence[Mapping[str, Any]],
) -> str:
    """The page: verdict, where the rows went and why, every check, failing rows, runs before, what the data is like.

    Args:
        result: the verdict.
        samples: check name -> failing rows.
        source: what `source.json` says of the dataset.
        now: the time of the run.
        records: the history, this run's own record last.
    """
    accepted = [record for record in records[:-1] if record["ok"] and record["profile"]]
    reference = accepted[-1] if accepted else None
    body = [
        _verdict(result, source, now),
        _tiles(result),
        portrait.sources(result),
        _why(result),
        _found(result, samples),
        portrait.history(records),
        portrait.volume(records[-1], reference),
        portrait.drift(records[-1], reference),
        portrait.texts(records[-1], reference),
        _where(result),
        _passed(result),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Validation: {'passed' if result.ok else 'stopped'}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _verdict(result: ValidationResult, source: Mapping[str, Any], now: datetime) -> str:
    failing = [check for check in result.checks if check.outcome != "pass"]
    if not result.ok:
        headline = "The run stops here"
        reasons = "".join(
            f"<li><b>{escape(one.name)}</b>: {escape(f'{one.about} {one.detail}')}</li>" for one in result.stopped_by
        )
        text = f"<ul>{reasons}</ul>"
    elif failing:
        headline = "The data can be used"
        warned = sum(check.outcome == "warn" for check in failing)
        text = (
            f"<p>{result.set_aside:,} of {result.total:,} rows were set aside, the rest is accepted"
            f"{f'; {warned} warning(s) to look at' if warned else ''}.</p>"
        )
    else:
        headline, text = (
            "The data is clean",
            f"<p>All {result.total:,} rows passed all {len(result.checks)} checks.</p>",
        )
    kind = "bad" if not result.ok else "fair" if failing else "good"
    name = str(source.get("source") or "the dataset").rstrip("/").rsplit("/", 1)[-1]
    synthetic = " · synthetic data" if source.get("synthetic") else ""
    return (
        f'<header class="{kind}"><div class="eyebrow">Validation · {escape(name)}{synthetic} · '
        f"{now:%Y-%m-%d %H:%M} {now.tzname() or ''}</div><h1>{headline}</h1>{text}</header>"
    )


def _tiles(result: ValidationResult) -> str:
    accepted = sum(rows.accepted for rows in result.rows.values())
    tiles = [
        (f"{result.total:,}", "rows read"),
        (f"{accepted:,}", "accepted"),
        (f"{result.set_aside:,}", f"set aside ({result.set_aside / max(1, result.total):.1%})"),
        (f"{sum(check.outcome == 'pass' for check in result.checks)} of {len(result.checks)}", "checks passed"),
    ]
    return (
        '<section class="tiles">'
        + "".join(f"<div><b>{number}</b><span>{what}</span></div>" for number, what in tiles)
        + "</section>"
    )


def _why(result: ValidationResult) -> str:
    if not result.reasons:
        return ""
    about = {check.name: check.about for check in result.checks}
    hidden = len(result.reasons) - MOST_BARS
    more = f"And {hidden} more reasons. " if hidden > 0 else ""
    return (
        "<section><h2>Why rows were set aside</h2>"
        f"{bars(list(result.reasons.items())[:MOST_BARS], result.total, about)}"
        f"<p class='quiet'>{more}A row with two reasons counts in both. The rows are in the quarantine folder, with "
        "their reasons; rows that the contract cannot express are in its rejected.parquet.</p></section>"
    )


def _where(result: ValidationResult) -> str:
    lines = "".join(
        f"<tr><td>{_TITLES.get(name, name)}</td><td>{rows.read + rows.rejected:,}</td><td>{rows.accepted:,}</td>"
        f"<td>{rows.set_aside:,}</td><td>{rows.rejected:,}</td></tr>"
        for name, rows in result.rows.items()
    )
    if result.unplaced:
        lost = f"{result.unplaced:,}"
        lines += f"<tr><td>Of no known table</td><td>{lost}</td><td>0</td><td>0</td><td>{lost}</td></tr>"
    return (
        "<section><h2>Where the rows went</h2><div class='scroll'><table class='numbers'><thead><tr><th>table</th>"
        "<th>in the source</th><th>accepted</th><th>set aside by checks</th><th>not expressible</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div></section>"
    )


def _found(result: ValidationResult, samples: Mapping[str, Sample]) -> str:
    order = ("error", "stop", "set-aside", "warn")
    failing = [check for kind in order for check in result.checks if check.outcome == kind]
    if not failing:
        return ""
    lines = "".join(_line(check, samples.get(check.name, [])) for check in failing)
    hint = "<p class='quiet'>A line that opens shows failing rows; user ids are left out.</p>"
    return f"<section><h2>What was found</h2><div class='checks'>{lines}</div>{hint}</section>"


def _passed(result: ValidationResult) -> str:
    passed = [check for check in result.checks if check.outcome == "pass"]
    groups = ((table, [check for check in passed if check.table == table]) for table in _TITLES)
    body = "".join(
        f"<h3>{_TITLES[table]}</h3><div class='checks'>{''.join(_line(check, []) for check in checks)}</div>"
        for table, checks in groups
        if checks
    )
    return f"<section><h2>Checks that passed</h2>{body}</section>"


def _line(check: CheckResult, sample: Sample) -> str:
    badge = f'<span class="badge {check.outcome}">{_WORDS[check.outcome]}</span>'
    # A check of a whole table has one line in its suite: its detail says more than "1 of 1".
    whole = check.outcome == "error" or check.total == 1
    tone = "told" if check.outcome == "pass" else "detail"
    detail = f"<div class='{tone}'>{escape(check.detail)}</div>" if whole or check.outcome == "stop" else ""
    count = f"{check.failing:,} of {check.total:,}" if check.failing and not whole else ""
    head = (
        f"{badge}<span class='name'>{escape(check.name)}</span><span class='about'>{escape(check.about)}{detail}</span>"
        f"<span class='count'>{count}</span><span class='severity'>{_place(check)}</span>"
    )
    if not sample:
        return f"<div class='line'>{head}</div>"
    return f"<details class='line'><summary>{head}</summary>{_rows(sample, check)}</details>"


def _place(check: CheckResult) -> str:
    if check.outcome != "pass":
        return escape(check.table)
    return {"stop": "would stop", "set-aside": "would set aside", "warn": "would warn"}[check.severity]


def _rows(sample: Sample, check: CheckResult) -> str:
    names = list(sample[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{escape(row[name])}</td>" for name in names) + "</tr>" for row in sample)
    # A check of a whole table does not count its rows: there may be more than these.
    every = f"{len(sample)}" if check.total == 1 else f"all {len(sample)}"
    shown = f"{len(sample)} of {check.failing:,}" if check.failing > len(sample) else every
    return (
        f"<div class='scroll'><table class='sample'><caption>{shown} failing</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
