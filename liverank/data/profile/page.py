"""The page: one HTML file for a person, complete in itself, that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any, Final

from liverank.data.profile import demand_section, exposure_section, people_section, supply_section, time_section
from liverank.data.profile.layout import card, section, table
from liverank.data.profile.numbers import count, duration, share, short
from liverank.data.profile.style import STYLE

_BADGES: Final = {"mend": "mend", "mind": "mind", "know": "good to know"}


def page(figures: Mapping[str, Any], now: datetime) -> str:
    """The page of a profile (`liverank.data.profile.run.profile`) made at `now`."""
    body = [
        _head(figures, now),
        _tiles(figures),
        _findings(figures["findings"]),
        time_section.drawn(figures),
        exposure_section.drawn(figures),
        demand_section.drawn(figures),
        people_section.drawn(figures),
        supply_section.drawn(figures),
        _origins(figures),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Profile: {escape(_name(figures))}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _name(figures: Mapping[str, Any]) -> str:
    return str(figures["source"]["source"] or "the dataset").rstrip("/").rsplit("/", 1)[-1]


def _head(figures: Mapping[str, Any], now: datetime) -> str:
    synthetic = " · synthetic data" if figures["source"]["synthetic"] else ""
    events = figures["tables"]["interactions"]
    span = "no interaction"
    if events["first"]:
        first, last = (datetime.fromisoformat(events[end]) for end in ("first", "last"))
        span = f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, {duration((last - first).total_seconds())}"
    return (
        f'<header><div class="eyebrow">Dataset profile{synthetic} · {now:%Y-%m-%d %H:%M} {now.tzname() or ""}</div>'
        f'<h1>{escape(_name(figures))}</h1><p class="span">{span}</p></header>'
    )


def _tiles(figures: Mapping[str, Any]) -> str:
    rows = figures["tables"]
    tiles = [
        (rows["interactions"]["rows"], "interactions"),
        (rows["impressions"]["rows"], "lists shown"),
        (figures["users"]["active"], "users with events"),
        (rows["items"]["rows"], "items in the catalogue"),
        (rows["rejected"]["rows"], "rows refused"),
    ]
    inside = "".join(
        f'<div title="{count(n)}"><b>{count(n) if n < 1e6 else short(n)}</b><span>{what}</span></div>'
        for n, what in tiles
    )
    return f'<section class="tiles">{inside}</section>'


def _findings(findings: list[dict[str, str]]) -> str:
    lines = "".join(
        f'<li><span class="badge {one["kind"]}">{_BADGES[one["kind"]]}</span><div><p>{escape(one["text"])}</p>'
        f'<p class="do">{escape(one["do"])}</p></div></li>'
        for one in findings
    )
    inside = f'<ul class="findings">{lines}</ul>' if lines else '<p class="none">Nothing stands out.</p>'
    return section("Worth knowing before you train", card("", inside, wide=True))


def _origins(figures: Mapping[str, Any]) -> str:
    names = ("interactions", "impressions", "items", "users", "rejected")
    rows = [
        [one["name"] or "(not named)", *(count(one[name]) for name in names), _days(one["first"]), _days(one["last"])]
        for one in figures["sources"]
    ]
    parts = [card("Rows of each source", table(["source", *names[:-1], "refused", "first event", "last event"], rows))]
    refused = figures["refused"]
    if refused:
        total = figures["tables"]["rejected"]["rows"]
        lines = [[one["reason"], one["table"], count(one["n"]), share(one["n"], total)] for one in refused]
        parts.append(card("Why rows were refused", table(["reason", "table", "rows", "share"], lines)))
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in figures["source"]["notes"] or ())
    if notes:
        parts.append(card("Notes of the ingest", f"<ul>{notes}</ul>"))
    return section("Where it is from", "".join(part.replace('"card"', '"card wide"', 1) for part in parts))


def _days(instant: str | None) -> str:
    return instant[:10] if instant else "–"
