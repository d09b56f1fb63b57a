"""What holds of a row that is as it should be, as SQL over the columns of its own row.

A flag is an SQL expression over a row of `<table>_rows` (see `engine`); it is never null. Flags may name the parameters
of `limits`. A missing value fails only the check on its presence, not every other check as well. Rules that need
more than one row are in `joins`.
"""

from __future__ import annotations

from typing import Final

SCRIPTS: Final = (
    "Latin",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Cyrillic",
    "Greek",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Thai",
)
"""Scripts that are told apart; text in none of them is "other", text without a letter ""."""
JUDGED_LETTERS: Final = 200
"""Characters of title and text by which the script is told."""


def identifier(column: str) -> str:
    """An id of the contract: 1 to 256 characters, not only blanks."""
    return f"({filled(column)} AND length({column}) <= 256)"


def filled(column: str) -> str:
    """Neither null nor blank."""
    return f"(coalesce(trim({column}), '') <> '')"


def not_after(limit: str, column: str = "timestamp") -> str:
    """At most `limit`."""
    return f"coalesce(epoch_us({column}) <= {limit}, true)"


def not_before(limit: str) -> str:
    """At least `limit`."""
    return f"coalesce(epoch_us(timestamp) >= {limit}, true)"


def listed(column: str, values: str) -> str:
    """In a list parameter."""
    return f"(NOT {filled(column)} OR coalesce(list_contains({values}, {column}), false))"


def finite(column: str) -> str:
    """Neither infinite nor NaN."""
    return f"coalesce(isfinite({column}), true)"


def no_less_than(column: str, least: int) -> str:
    """`least` or more; NaN is above every number."""
    return f"coalesce({column} >= {least}, true)"


def no_longer_than(column: str, limit: str) -> str:
    """At most `limit` characters."""
    return f"coalesce(length({column}) <= {limit}, true)"


def each_shown(condition: str) -> str:
    """Every `line` of the shown list meets the condition."""
    return f"(coalesce(len(list_filter(shown, lambda line: NOT coalesce({condition}, false))), 0) = 0)"


def distinct_shown() -> str:
    """The shown list holds no item twice."""
    ids = "list_filter(list_transform(shown, lambda line: line.item_id), lambda id: id IS NOT NULL)"
    return f"coalesce(len(list_distinct({ids})) = len({ids}), true)"


def contiguous_positions() -> str:
    """The positions are 1, 2, ... without a gap or a repeat; below 1 is another check's."""
    positions = "list_sort(list_transform(shown, lambda line: line.position::BIGINT))"
    return f"(NOT {each_shown('line.position >= 1')} OR coalesce({positions} = range(1, len(shown) + 1), true))"


def propensities() -> str:
    """Every propensity of the shown list is null or in (0, 1]."""
    return each_shown("line.propensity IS NULL OR (line.propensity > 0 AND line.propensity <= 1)")


def propensities_complete() -> str:
    """All lines of the shown list have a propensity, or none."""
    known = "coalesce(len(list_filter(shown, lambda line: line.propensity IS NOT NULL)), 0)"
    return f"({known} IN (0, coalesce(len(shown), 0)))"


def incoming_positions() -> str:
    """Every incoming position of the shown list is null or at least 1."""
    return each_shown("line.incoming_position IS NULL OR line.incoming_position >= 1")


def arrived_after() -> str:
    """It was received no earlier than it happened."""
    return "coalesce(received_at >= timestamp, true)"


def scripts(rows: str) -> str:
    """A query for `row` and `script` of items: the script with most letters in title and text.

    It is a name of SCRIPTS, "other", or "" where there is no letter.
    """
    counts = ", ".join(_letters(f"\\p{{{name}}}") for name in SCRIPTS)
    names = ", ".join(f"'{name}'" for name in SCRIPTS)
    lines = f"SELECT row, left(concat_ws(' ', title, text), {JUDGED_LETTERS}) AS line FROM {rows}"
    # Text of bytes below 128 needs no counting: its letters, where it has one, are Latin.
    counted = (
        f"SELECT row, regexp_matches(line, '\\p{{L}}') AS lettered, "
        f"CASE WHEN strlen(line) = length(line) THEN [1] ELSE [{counts}] END AS counts FROM ({lines})"
    )
    most = "list_max(counts)"
    return (
        f"SELECT row, CASE WHEN NOT lettered THEN '' WHEN {most} = 0 THEN 'other' "
        f"ELSE [{names}][list_position(counts, {most})] END AS script FROM ({counted})"
    )


def _letters(kind: str) -> str:
    return f"(length(line) - length(regexp_replace(line, '{kind}', '', 'g')))"
