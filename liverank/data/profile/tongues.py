"""The languages of the catalogue: told from the texts, and said by the items themselves."""

from __future__ import annotations

from typing import Any, Final

from liverank.data.languages import UNDETERMINED, languages, sample
from liverank.data.profile.engine import Engine

_KEYS: Final = ("language", "lang", "locale")
MOST_SAID: Final = 12


def tongues(engine: Engine) -> dict[str, Any]:
    """The language of each item's title and text, and what items say themselves.

    Returns:
        `languages`: `looked_at`, the items of a deterministic sample; `undetermined`, those whose language is not
        sure; `told`: `[{code, n}]`, the most frequent first; `said`: `[{name, n}]`, of the items' attributes.
    """
    found = languages(row["words"] for row in engine.rows(sample("items")))
    return {
        "languages": {
            "looked_at": sum(found.values()),
            "undetermined": found[UNDETERMINED],
            "told": [{"code": code, "n": n} for code, n in found.items() if code != UNDETERMINED],
            "said": _said(engine),
        }
    }


def _said(engine: Engine) -> list[dict[str, Any]]:
    said = ", ".join(f"attributes['{key}']" for key in _KEYS)
    return engine.rows(
        f"SELECT name, count(*) AS n FROM (SELECT coalesce({said}) AS name FROM items) WHERE name IS NOT NULL "
        "GROUP BY name ORDER BY n DESC, name LIMIT ?",
        MOST_SAID,
    )
