"""What there is to recommend: the long tail, the catalogue's texts in which scripts, its categories."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.data.profile.behaviour import top_shares
from liverank.data.profile.engine import Engine
from liverank.data.profile.histogram import spread

POINTS: Final = 100
MOST_CATEGORIES: Final = 15
MOST_TEXTS: Final = 50_000
LENGTH_EDGES: Final = (0, 1, 10, 20, 40, 80, 160, 320, 640, 1280, 5000, 20_000)


def items(engine: Engine) -> dict[str, Any]:
    """The long tail of items by events, and how catalogue and events cover each other.

    Returns:
        counts; `gini` over items with events; `top_shares`; `lorenz`: `[[share of items, share of events]]` from the
        least to the most popular; `zipf`: `[[rank, events]]` and its `slope` (least squares of the logarithms over
        ranks evenly spaced in log scale, None below three of them).
    """
    engine.run("CREATE TABLE demand AS SELECT item, count(*) AS n FROM events GROUP BY item")
    engine.run("CREATE TABLE supply AS SELECT DISTINCT hash(item_id) AS item FROM items")
    cover = engine.row(
        """SELECT count(*) FILTER (WHERE s.item IS NULL) AS unknown_items,
            coalesce(sum(d.n) FILTER (WHERE s.item IS NULL), 0)::BIGINT AS unknown_events,
            count(*) FILTER (WHERE d.item IS NULL) AS untouched, count(d.item) AS active, count(s.item) AS catalogue,
            count(*) FILTER (WHERE d.n = 1) AS once
        FROM demand d FULL JOIN supply s USING (item)"""
    )
    counts = np.sort(engine.columns("SELECT n FROM demand")["n"].astype(np.float64))
    return {
        **cover,
        "events": spread(engine, "SELECT n AS v FROM demand"),
        "top_shares": top_shares(engine, "demand"),
        "gini": gini(counts),
        "lorenz": lorenz(counts),
        **zipf(counts[::-1]),
    }


def gini(ascending: npt.NDArray[np.float64]) -> float | None:
    """The Gini coefficient of positive counts in ascending order: 0 all equal, towards 1 one has all."""
    n = len(ascending)
    if not n:
        return None
    return float(2 * (np.arange(1, n + 1) @ ascending) / (n * ascending.sum()) - (n + 1) / n)


def lorenz(ascending: npt.NDArray[np.float64]) -> list[list[float]]:
    """Points of the Lorenz curve, (0, 0) and (1, 1) included; more of them where the curve rises."""
    n = len(ascending)
    if not n:
        return []
    share = np.concatenate([[0], np.cumsum(ascending)]) / ascending.sum()
    head = n - np.geomspace(1, n, POINTS)
    at = np.unique(np.concatenate([np.linspace(0, n, POINTS), head]).round().astype(np.int64).clip(0, n))
    return [[float(place / n), float(share[place])] for place in at]


def zipf(descending: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Events by rank, at ranks evenly spaced in log scale, and the slope of that line."""
    n = len(descending)
    if not n:
        return {"zipf": [], "slope": None}
    at = np.unique(np.geomspace(1, n, POINTS).round().astype(np.int64))
    points = [[int(rank), int(descending[rank - 1])] for rank in at]
    slope = float(np.polyfit(np.log(at), np.log(descending[at - 1]), 1)[0]) if len(at) > 2 else None
    return {"zipf": points, "slope": slope}


def categories(engine: Engine) -> dict[str, Any]:
    """The largest categories of the catalogue, with their items and events; `rest` is all others together."""
    engine.run(
        """CREATE TABLE shelves AS SELECT coalesce(category, '') AS name, count(*) AS items,
            coalesce(sum(n), 0)::BIGINT AS events
        FROM items LEFT JOIN demand ON demand.item = hash(items.item_id) GROUP BY name"""
    )
    total = engine.row(
        """SELECT count(*) FILTER (WHERE name <> '') AS categories, coalesce(sum(items), 0)::BIGINT AS items,
            coalesce(sum(events), 0)::BIGINT AS events,
            coalesce(sum(items) FILTER (WHERE name = ''), 0)::BIGINT AS without,
            count(*) FILTER (WHERE name <> '' AND items = 1) AS singles FROM shelves"""
    )
    top = engine.rows(
        "SELECT name, items, events FROM shelves WHERE name <> '' ORDER BY events DESC, items DESC, name LIMIT ?",
        MOST_CATEGORIES,
    )
    rest = {
        "categories": total["categories"] - len(top),
        "items": total["items"] - total["without"] - sum(row["items"] for row in top),
    }
    return {**total, "top": top, "rest": rest}


def lengths(engine: Engine) -> dict[str, Any]:
    """Characters of titles and texts, and how many items lack them or share their title."""
    row = engine.row(
        """SELECT count(*) AS items, count(*) FILTER (WHERE trim(coalesce(title, '')) = '') AS without_title,
            count(*) FILTER (WHERE trim(coalesce(text, '')) = '') AS without_text,
            count(*) FILTER (WHERE trim(coalesce(title, '') || coalesce(text, '')) = '') AS without_words,
            count(nullif(trim(title), '')) - count(DISTINCT nullif(trim(title), '')) AS shared_titles FROM items"""
    )
    return {
        **row,
        "title": spread(engine, "SELECT length(coalesce(title, '')) AS v FROM items", LENGTH_EDGES),
        "text": spread(engine, "SELECT length(coalesce(text, '')) AS v FROM items", LENGTH_EDGES),
    }
