"""What there is to recommend: texts, their scripts and languages, categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from liverank.data.languages import NAMES
from liverank.data.profile.charts import bars
from liverank.data.profile.layout import card, histogram, none, quantiles, section
from liverank.data.profile.numbers import count, share

MOST_LANGUAGES: Final = 10


def drawn(figures: Mapping[str, Any]) -> str:
    """The section."""
    texts = figures["texts"]
    if not texts["items"]:
        return section("Catalogue", card("", none("There is no item."), wide=True))
    cards = [*_lengths(texts), _scripts(texts), _languages(texts), _categories(figures["categories"])]
    return section("Catalogue", "".join(cards))


def _lengths(texts: dict[str, Any]) -> list[str]:
    items = texts["items"]
    return [
        card(
            "Length of titles",
            histogram(texts["title"], "Items by characters of their title", "characters", "items"),
            "",
            [
                *quantiles(texts["title"]),
                ("without a title", share(texts["without_title"], items)),
                ("with another's title", share(texts["shared_titles"], items)),
            ],
        ),
        card(
            "Length of texts",
            histogram(texts["text"], "Items by characters of their text", "characters", "items"),
            "",
            [*quantiles(texts["text"]), ("without a text", share(texts["without_text"], items))],
        ),
    ]


def _scripts(texts: dict[str, Any]) -> str:
    seen = texts["looked_at"]
    rows = [(row["name"], row["n"], f"{count(row['n'])} · {share(row['n'], seen)}") for row in texts["scripts"][:12]]
    facts = [("with an emoji", share(texts["emoji"], seen))]
    lead = "The script that most letters of an item's title and text are in"
    lead += "." if seen == texts["items"] else f", in a sample of {count(seen)} items."
    return card("Scripts", bars(rows, "Items by script", label=110), lead, facts)


def _languages(texts: dict[str, Any]) -> str:
    found = texts["languages"]
    seen, unsure = found["looked_at"], found["undetermined"]
    sure = seen - unsure
    lines = [(NAMES[row["code"]] + f" ({row['code']})", row["n"]) for row in found["told"]]
    rest = sum(n for _, n in lines[MOST_LANGUAGES:])
    lines = [*lines[:MOST_LANGUAGES], *([("all others", rest)] if rest else [])]
    rows = [(name, n, f"{count(n)} · {share(n, sure)}") for name, n in lines]
    facts = [("undetermined", f"{count(unsure)} · {share(unsure, seen)}")]
    if found["said"]:
        facts.append(("said by items", ", ".join(f"{row['name'][:12]} {count(row['n'])}" for row in found["said"])))
    of = "all items" if seen == texts["items"] else f"a sample of {count(seen)} items"
    lead = f"Of {of}, those whose title and text tell their language; short ones and mere names do not."
    inside = bars(rows, "Items by language", label=140) if rows else none("No text is sure enough.")
    return card("Languages", inside, lead, facts)


def _categories(found: dict[str, Any]) -> str:
    title = "Categories"
    if not found["categories"]:
        return card(title, none("No item has a category."))
    rows = [
        (row["name"], row["events"], f"{count(row['events'])} · {count(row['items'])} items") for row in found["top"]
    ]
    part = f", the {len(rows)} largest of {count(found['categories'])}" if found["rest"]["categories"] else ""
    lead = f"Events by category{part}."
    facts = [
        ("categories", count(found["categories"])),
        ("with one item only", share(found["singles"], found["categories"])),
        ("items without one", share(found["without"], found["items"])),
    ]
    return card(title, bars(rows, "Events by category", label=150, number=150), lead, facts)
