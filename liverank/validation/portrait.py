"""The parts of the report on what the accepted data looks like, where it came from, and how it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from liverank.data.languages import MOST_CHARACTERS, NAMES
from liverank.validation.charts import columns, shares
from liverank.validation.flags import JUDGED_LETTERS
from liverank.validation.result import ValidationResult

MOST_SHARES: Final = 12
MOST_DAYS: Final = 180
MOST_RUNS: Final = 40
MOST_CHECKS: Final = 4
Record = Mapping[str, Any]


def sources(result: ValidationResult) -> str:
    """Where the rows of each source went and what spoke against them; empty where no source has a name."""
    if not any(result.sources):
        return ""
    lines = "".join(
        f"<tr><td>{escape(name or '(not named)')}</td><td>{rows.accepted:,}</td><td>{rows.set_aside:,}</td>"
        f"<td>{rows.rejected:,}</td><td class='text'>{_failing(rows.checks)}</td></tr>"
        for name, rows in result.sources.items()
    )
    return (
        "<section><h2>Sources</h2><div class='scroll'><table class='numbers'><thead><tr><th>source</th>"
        "<th>accepted</th><th>set aside by checks</th><th>not expressible</th>"
        f"<th class='text'>failing checks, with rows</th></tr></thead><tbody>{lines}</tbody></table></div></section>"
    )


def _failing(checks: Mapping[str, int]) -> str:
    shown = [
        f"<span class='name'>{escape(name)}</span> {count:,}" for name, count in list(checks.items())[:MOST_CHECKS]
    ]
    more = len(checks) - MOST_CHECKS
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") if shown else "none"


def history(records: Sequence[Record]) -> str:
    """Rows, the share set aside and the checks that did not pass, run by run, this one last."""
    runs = records[-MOST_RUNS:]
    if len(runs) < 2:
        return ""
    names = [record["time"][:16].replace("T", " ") for record in runs]
    kinds = ["" if record["ok"] else "bad" for record in runs]
    aside = [100 * record.get("set_aside", 0) / max(1, record.get("total", 1)) for record in runs]
    charts = (
        ("Rows accepted", [_accepted(record) for record in runs], "rows"),
        ("Set aside", aside, "% of the rows"),
        ("Checks that did not pass", [float(len(record["checks"])) for record in runs], "checks"),
    )
    drawn = "".join(
        f"<div><h3>{title}</h3>{columns(list(zip(names, values, kinds, strict=True)), unit, 300)}</div>"
        for title, values, unit in charts
    )
    return (
        f"<section><h2>The last {len(runs)} runs</h2><div class='trio'>{drawn}</div>"
        "<p class='quiet'>Oldest first, this run last. Runs that validation stopped are red.</p></section>"
    )


def _accepted(record: Record) -> float:
    return float(sum(rows.get("accepted", 0) for rows in record["rows"].values()))


def drift(now: Record, reference: Record | None) -> str:
    """Shares of event types and categories, now and in the last accepted data."""
    profile = now["profile"]
    if not profile:
        return ""
    before = reference["profile"] if reference else None
    parts = [
        f"<h3>{title}</h3>{_compared(profile[name], before[name] if before else None)}"
        for title, name in (("Event types", "types"), ("Categories, by events", "categories"))
        if profile[name]
    ]
    since = f"Compared with the accepted data of {reference['time'][:16].replace('T', ' ')}." if reference else ""
    told = since or "There is no accepted run to compare with yet; the next one is compared with this."
    return f"<section><h2>What the events are</h2>{''.join(parts)}<p class='quiet'>{told}</p></section>"


def _compared(now: Mapping[str, int], before: Mapping[str, int] | None, none: str = "(none)") -> str:
    total, total_before = max(1, sum(now.values())), max(1, sum((before or {}).values()))
    known = sorted({*now, *(before or {})}, key=lambda key: (-now.get(key, 0), key))[:MOST_SHARES]
    lines = [
        (key or none, now.get(key, 0) / total, None if before is None else before.get(key, 0) / total_before)
        for key in known
    ]
    return shares(lines, ("now", "before"))


def volume(now: Record, reference: Record | None) -> str:
    """Interactions a day, the last MOST_DAYS of them; days that the last accepted data did not have stand out."""
    from datetime import date, timedelta

    days: Mapping[str, int] = now["profile"].get("days", {})
    if not days:
        return ""
    last = date.fromisoformat(max(days))
    first = max(date.fromisoformat(min(days)), last - timedelta(days=MOST_DAYS - 1))
    shown = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    newest = max(reference["profile"]["days"], default="") if reference else ""
    fresh = [day for day in shown if newest and day > newest]
    told = "Days that the last accepted data did not have stand out. " if fresh else ""
    cut = f"The last {MOST_DAYS} days." if min(days) < shown[0] else ""
    chart = columns([(day, float(days.get(day, 0)), "new" if day in fresh else "") for day in shown], "interactions")
    return f"<section><h2>Interactions a day</h2>{chart}<p class='quiet'>{told}{cut}</p></section>"


def texts(now: Record, reference: Record | None) -> str:
    """Scripts and languages of the items' texts, now and in the last accepted data, and their lengths."""
    profile = now["profile"]
    if not profile or not profile["scripts"]:
        return ""
    before: Mapping[str, Any] = reference["profile"] if reference else {}
    scripts = _compared(profile["scripts"], before.get("scripts"), "no letter")
    languages = _compared(
        _named(profile["languages"]), _named(before["languages"]) if "languages" in before else None, "undetermined"
    )
    looked_at = sum(profile["languages"].values())
    rows = "".join(
        f"<tr><td>{name}</td><td>{found['empty']:,} of {found['items']:,}</td>"
        + "".join(
            f"<td>{found[key]:,}</td>" if key in found else "<td>–</td>" for key in ("p5", "median", "p95", "max")
        )
        + "</tr>"
        for name, found in profile["lengths"].items()
    )
    return (
        f"<section><h2>Texts of the items</h2><h3>Script</h3>{scripts}<h3>Language</h3>{languages}"
        "<h3>Length, in characters</h3><div class='scroll'><table class='numbers'><thead><tr><th></th><th>empty</th>"
        "<th>5 % are shorter than</th><th>median</th><th>95 % are shorter than</th><th>longest</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class='quiet'>An item's script is the one with most letters in "
        f"the first {JUDGED_LETTERS} characters of title and text. Its language is told from the first "
        f"{MOST_CHARACTERS}, here of {looked_at:,} items, and is undetermined where it is not sure.</p></section>"
    )


def _named(languages: Mapping[str, int]) -> dict[str, int]:
    return {f"{NAMES[code]} ({code})" if code in NAMES else code: count for code, count in languages.items()}
