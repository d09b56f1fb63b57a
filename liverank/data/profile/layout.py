"""The pieces that sections are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from liverank.data.profile.charts import columns
from liverank.data.profile.numbers import count, duration, short

_FORMATS: Final = {"hour": "%d %b %H:%M", "day": "%d %b %Y", "week": "%d %b %Y", "month": "%b %Y", "year": "%Y"}
Facts = Sequence[tuple[str, str]]


def section(title: str, cards: str, lead: str = "") -> str:
    """A headed part of the page: a grid of cards."""
    about = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f'<section><h2>{escape(title)}</h2>{about}<div class="grid">{cards}</div></section>'


def card(title: str, inside: str, lead: str = "", facts: Facts = (), wide: bool = False) -> str:
    """One chart or table with what it shows, and figures below."""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    about = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    told = "".join(f"<span>{escape(name)} <b>{escape(value)}</b></span>" for name, value in facts)
    return (
        f'<div class="{"card wide" if wide else "card"}">{head}{about}{inside}'
        f"{f'<div class=facts>{told}</div>' if told else ''}</div>"
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is names and whose others are numbers."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(value)}</td>" for value in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def none(text: str) -> str:
    """Stands where there is nothing to draw."""
    return f'<p class="none">{escape(text)}</p>'


def histogram(spread: dict[str, Any], about: str, x_title: str, y_title: str, seconds: bool = False) -> str:
    """The bins of a spread (`liverank.data.profile.histogram.spread`)."""
    if not spread["n"]:
        return none("There is nothing to count.")
    return columns([(_bin(one, seconds), one["n"]) for one in spread["bins"]], about, x_title, y_title)


def _bin(one: dict[str, Any], seconds: bool) -> str:
    said = _compact if seconds else short
    if one["to"] is None:
        return f"{said(one['from'])}+"
    if seconds:
        return f"<{said(one['to'])}"
    if one["to"] == one["from"] + 1:
        return said(one["from"])
    # Whole ranges of large numbers would not fit below their columns.
    return f"{said(one['from'])}–{said(one['to'] - 1)}" if one["from"] < 100 else f"{said(one['from'])}…"


def _compact(seconds: float) -> str:
    if seconds == 365 * 86_400:
        return "1y"
    return duration(seconds).replace(" ", "").replace("min", "m")


def quantiles(spread: dict[str, Any], seconds: bool = False) -> Facts:
    """The quantiles of a spread, named."""
    said = duration if seconds else count
    return [
        ("median", said(spread["p50"])),
        ("90 % at most", said(spread["p90"])),
        ("99 % at most", said(spread["p99"])),
        ("most", said(spread["max"])),
    ]


def moment(instant: str, bucket: str) -> str:
    """A unit of time by name."""
    return datetime.fromisoformat(instant).strftime(_FORMATS[bucket])


def named(instants: Sequence[str], bucket: str, most: int = 8) -> list[tuple[int, str]]:
    """Evenly spaced places of a time axis and their names, none so near the end that it would be cut."""
    if not instants:
        return []
    every = max(1, -(-len(instants) // most))
    return [(at, moment(instants[at], bucket)) for at in range(0, len(instants), every)]
