"""What accepted data looks like, in a few kilobytes: the reference of later data. No user is in it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from liverank.validation.engine import quoted

Profile = dict[str, Any]
"""JSON values: rows, days, newest, types, categories, arrivals, scripts, languages, lengths, words."""
MOST_DAYS: Final = 800
MOST_CATEGORIES: Final = 200
MOST_TYPES: Final = 200
WORDS: Final = 4096
OTHER: Final = "(other)"
WORD: Final = r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Hangul}\p{Devanagari}\p{N}]+|\p{L}"
"""A run of letters where words are parted by spaces, a single character where they are not."""


def profile(connection: Any, accepted: Path, late_seconds: float) -> Profile:
    """The profile of an accepted dataset folder.

    Args:
        connection: DuckDB, with `items_script (row, script)`, `items_barred (row)` and `items_language (item_id,
            words, language)` of the items.
        accepted: the folder; its files are there.
        late_seconds: from when an arrival is late.
    """
    events = f"read_parquet({quoted(accepted / 'interactions.parquet')})"
    items = f"read_parquet({quoted(accepted / 'items.parquet')})"

    def ask(sql: str) -> list[Any]:
        return list(connection.execute(sql).fetchall())

    (rows, newest), *_ = ask(f"SELECT count(*), max(epoch_us(timestamp)) FROM {events}")
    days = ask(f"SELECT strftime(timestamp::DATE, '%Y-%m-%d') AS day, count(*) FROM {events} GROUP BY day ORDER BY day")
    gap = "epoch_us(received_at) - epoch_us(timestamp)"
    (known, late), *_ = ask(
        f"SELECT count(received_at), count(*) FILTER ({gap} > {int(late_seconds * 1_000_000)}) FROM {events}"
    )
    return {
        "rows": rows,
        "newest": newest,
        "first_day": days[0][0] if days else None,
        "empty_days": _span(days[0][0], days[-1][0]) - len(days) if days else 0,
        "days": dict(days[-MOST_DAYS:]),
        "types": _shares(ask(f"SELECT type, count(*) FROM {events} GROUP BY type"), MOST_TYPES),
        "categories": _shares(ask(_categories(events, items)), MOST_CATEGORIES),
        "arrivals": {"known": known, "late": late},
        "scripts": dict(ask(_scripts())),
        "languages": dict(ask(_languages())),
        "lengths": {name: _lengths(ask(_quantiles(name, items))[0]) for name in ("title", "text")},
        "words": _words(ask(_titles(items))),
    }


def _span(first: str, last: str) -> int:
    from datetime import date

    return (date.fromisoformat(last) - date.fromisoformat(first)).days + 1


def _categories(events: str, items: str) -> str:
    counted = f"SELECT item_id, count(*) AS events FROM {events} GROUP BY item_id"
    return (
        f"SELECT coalesce(category, ''), sum(events)::BIGINT FROM ({counted}) JOIN {items} USING (item_id) GROUP BY 1"
    )


def _scripts() -> str:
    return (
        "SELECT script, count(*) FROM items_script ANTI JOIN items_barred USING (row) GROUP BY script "
        "ORDER BY count(*) DESC, script"
    )


def _languages() -> str:
    return "SELECT language, count(*) FROM items_language GROUP BY language ORDER BY count(*) DESC, language"


def _quantiles(column: str, items: str) -> str:
    return (
        f"SELECT count(*), count(*) FILTER (length(coalesce({column}, '')) = 0), "
        f"quantile_disc(length({column}), [0.05, 0.5, 0.95, 1.0]) FILTER (length({column}) > 0) FROM {items}"
    )


def _lengths(found: tuple[int, int, list[int] | None]) -> dict[str, Any]:
    """Of the texts that are there: the 5 % and 95 % quantiles, the median and the longest, in characters."""
    count, empty, quantiles = found
    return {"items": count, "empty": empty, **dict(zip(("p5", "median", "p95", "max"), quantiles or [], strict=False))}


def _titles(items: str) -> str:
    words = f"SELECT unnest(regexp_extract_all(lower(title), '{WORD}')) AS word FROM {items}"
    return f"SELECT word, count(*) FROM ({words}) GROUP BY word"


def _shares(counts: list[tuple[str, int]], most: int) -> dict[str, int]:
    ranked = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in ranked[most:])
    return {**dict(ranked[:most]), **({OTHER: rest} if rest else {})}


def _words(counts: list[tuple[str, int]]) -> dict[str, Any]:
    """A sample of the vocabulary by hash: the words with the smallest hashes, all of them below `below`.

    Whether a word is in it depends on the word alone, so that two samples can be compared below the lower bound.
    """
    hashed = sorted((int.from_bytes(hashlib.sha256(word.encode()).digest()[:6]), count) for word, count in counts)
    below = hashed[WORDS][0] if len(hashed) > WORDS else 1 << 48
    return {"below": below, "words": {f"{value:x}": count for value, count in hashed[:WORDS]}}
