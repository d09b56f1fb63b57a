"""Failing rows for the report: a few a check, as plain text, without the ids of users."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liverank import columns as c
from liverank.data.languages import UNDETERMINED
from liverank.validation.checks import Check
from liverank.validation.engine import quoted

Sample = list[dict[str, str]]
"""Rows as column -> text."""
LONGEST = 160
UNKNOWN = "–"
_PERSONAL = re.compile(r"user|customer|client|visitor|e-?mail|phone", re.IGNORECASE)


def failing_rows(connection: Any, check: Check, place: int, limit: int) -> Sample:
    """The first rows of the file that fail the check at a place among its table's."""
    columns = ", ".join(_text(column) for column in check.shown)
    cursor = connection.execute(
        f"SELECT row + 1 AS row, {columns} FROM {check.table}_rows WHERE row IN (SELECT DISTINCT row FROM "
        f"{check.table}_failed WHERE place = {place} ORDER BY row LIMIT {limit}) ORDER BY row"
    )
    names = [column[0] for column in cursor.description]
    return [{name: text_of(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]


def foreign_items(connection: Any, allowed: Sequence[str], limit: int) -> Sample:
    """Items of the sample that are written in a language not in `allowed`, every language in turn."""
    rows = connection.execute(
        "SELECT item_id, language, words FROM items_language WHERE language <> $none AND NOT "
        "list_contains($allowed, language) ORDER BY row_number() OVER (PARTITION BY language ORDER BY hash(item_id), "
        f"item_id), language LIMIT {limit}",
        {"none": UNDETERMINED, "allowed": list(allowed)},
    ).fetchall()
    return [{"item_id": text_of(item), "language": code, "words": text_of(words)} for item, code, words in rows]


def _text(column: str) -> str:
    return f"{column}::VARCHAR AS {column}" if column in (c.TIMESTAMP, c.RECEIVED_AT, c.AVAILABLE_FROM) else column


def rejected_rows(connection: Any, path: Path, limit: int) -> Sample:
    """Rejected rows of the source, every reason in turn."""
    file = f"read_parquet({quoted(path)}, file_row_number = true)"
    rows = connection.execute(
        f'SELECT reason, "table", file, line, "row" FROM {file} '
        f"ORDER BY row_number() OVER (PARTITION BY reason ORDER BY file_row_number), reason LIMIT {limit}"
    ).fetchall()
    return [
        {
            "reason": reason,
            "table": table or UNKNOWN,
            "file": text_of(str(at).rstrip("/").rsplit("/", 1)[-1]) if at else UNKNOWN,
            "line": f"{line:,}" if line is not None else UNKNOWN,
            "row": text_of(masked(row)),
        }
        for reason, table, at, line, row in rows
    ]


def masked(row: str) -> str:
    """A row's JSON text with the values that name a person left out."""
    try:
        values = json.loads(row)
    except ValueError:
        return "(not JSON)"
    if not isinstance(values, dict):
        return "(no object)"
    kept = {key: "…" if _PERSONAL.search(key) and value is not None else value for key, value in values.items()}
    return json.dumps(kept, ensure_ascii=False)


def text_of(value: Any) -> str:
    """A cell as text, cut where it gets long."""
    if isinstance(value, list):
        value = ", ".join(text_of(part) for part in value)
    elif isinstance(value, dict):
        value = " ".join(f"{key}={part}" for key, part in value.items() if part is not None)
    text = "(missing)" if value is None else f"“{value}”" if not str(value).strip() else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
