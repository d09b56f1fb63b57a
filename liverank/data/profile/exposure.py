"""What shown lists led to: the funnel by surface, clicks by position, propensities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.data.profile.engine import Engine, Row

STAGES: Final = ("shown", "view", "click", "cart", "purchase")
MOST_SURFACES: Final = 8
MOST_POSITIONS: Final = 100
MOST_LISTS: Final = 500_000
WEIGHED_LISTS: Final = 100_000
LEAST_EFFECTIVE: Final = 200
"""Effective number of lists below which a corrected rate says nothing."""
Z: Final = 1.959964


def exposure(engine: Engine) -> dict[str, Any]:
    """All that is told of lists; `lists` is 0 and the rest empty where none were logged.

    Of more than `MOST_LISTS` lists a sample is looked at, every `every`-th by the hash of its id: so are `funnel`,
    `position` and `propensity`.
    """
    total = engine.row("SELECT count(*) AS n FROM impressions")["n"]
    if not total:
        return {"lists": 0, "every": 1, "looked_at": 0, "length": None, "answered": None} | dict.fromkeys(
            ("funnel", "position", "propensity")
        )
    every = max(1, -(-total // MOST_LISTS))
    looked_at = _load_lines(engine, every)
    cells = _cells(engine)
    return {
        "lists": total,
        "every": every,
        "looked_at": looked_at,
        "length": sum(cell["shown"] for cell in cells) / max(1, looked_at),
        "answered": _answered(engine),
        "funnel": _funnel(cells),
        "position": _positions(engine, cells, looked_at) if cells else None,
        "propensity": _propensities(cells),
    }


def _load_lines(engine: Engine, every: int) -> int:
    """Makes the table `lines`: a shown line a row, with what it led to; gives the number of lists."""
    chosen = f"hash(impression_id) % {every} = 0"
    # Reached: what was bought was also looked at, whatever the source logs of it.
    engine.run(
        f"""CREATE TABLE answers AS SELECT hash(impression_id, item_id) AS pair, true AS view,
            bool_or(type IN ('click', 'cart', 'purchase', 'rating')) AS click,
            bool_or(type IN ('cart', 'purchase')) AS cart, bool_or(type = 'purchase') AS purchase
        FROM interactions WHERE impression_id IS NOT NULL AND type <> 'dislike' AND {chosen} GROUP BY pair"""
    )
    flags = ", ".join(f"coalesce(a.{stage}, false) AS {stage}" for stage in STAGES[1:])
    engine.run(
        f"""CREATE TABLE lines AS SELECT list, size, surface, random, line.position AS position,
            {_CHANCE} AS propensity, line.propensity IS NOT NULL AND {_CHANCE} IS NULL AS broken, {flags}
        FROM (SELECT *, hash(impression_id, line.item_id) AS pair FROM (
            SELECT impression_id, hash(impression_id) AS list, len(shown) AS size, {_surface(engine)} AS surface,
                {_RANDOM} AS random, unnest(shown) AS line
            FROM impressions WHERE {chosen})) LEFT JOIN answers a USING (pair)"""
    )
    found: int = engine.row(f"SELECT count(*) AS n FROM impressions WHERE {chosen}")["n"]
    return found


def _surface(engine: Engine) -> str:
    """SQL of a list's surface; those beyond the largest are one, `other`."""
    rows = engine.rows(
        "SELECT coalesce(surface, '') AS name FROM impressions GROUP BY name ORDER BY count(*) DESC, name LIMIT ?",
        MOST_SURFACES,
    )
    names = ", ".join("'" + row["name"].replace("'", "''") + "'" for row in rows)
    return f"CASE WHEN coalesce(surface, '') IN ({names}) THEN coalesce(surface, '') ELSE 'other' END"


def _cells(engine: Engine) -> list[Row]:
    """Shown lines and what they led to, by surface, position, randomised or not, and size of propensity."""
    flags = ", ".join(f"count(*) FILTER (WHERE {stage}) AS {stage}" for stage in STAGES[1:])
    return engine.rows(
        f"""SELECT surface, random, least(position, {MOST_POSITIONS + 1}) AS position,
            floor(log10(propensity) * 2)::INTEGER AS bin, count(*) AS shown, count(*) FILTER (WHERE broken) AS broken,
            min(propensity) AS low, max(propensity) AS high, {flags}
        FROM lines GROUP BY ALL"""
    )


_CHANCE: Final = "CASE WHEN line.propensity > 0 AND line.propensity <= 1 THEN line.propensity END"
# Every order equally likely: of n candidates the first is drawn with 1/n, the next with 1/(n-1), ...; or each line says
# the same chance below 1, its share of the positions.
_RANDOM: Final = """coalesce(len(shown) > 1 AND shown[1].propensity > 0 AND shown[1].propensity < 1 AND (
    (abs(1 / shown[1].propensity - 1 / shown[2].propensity - 1) < 1e-4 AND
     abs(1 / shown[1].propensity - 1 / shown[-1].propensity - len(shown) + 1) < 1e-4) OR
    (abs(shown[1].propensity - shown[2].propensity) < 1e-9 AND abs(shown[1].propensity - shown[-1].propensity) < 1e-9)
), false)"""


def _answered(engine: Engine) -> Row:
    """Events that say which list they answer, and those of them whose list is not there."""
    return engine.row(
        """SELECT count(*) AS events, count(impression_id) AS linked,
            count(*) FILTER (WHERE impression_id IS NOT NULL AND NOT
                coalesce(hash(impression_id) IN (SELECT hash(impression_id) FROM impressions), false)) AS lost
        FROM interactions"""
    )


def _funnel(cells: list[Row]) -> list[dict[str, Any]]:
    """Lines that reached each stage, all surfaces first (name None), then the largest surface first."""
    totals: dict[str | None, list[int]] = {None: [0] * len(STAGES)}
    for cell in cells:
        for name in (None, cell["surface"]):
            row = totals.setdefault(name, [0] * len(STAGES))
            for at, stage in enumerate(STAGES):
                row[at] += cell[stage]
    names = sorted((name for name in totals if name is not None), key=lambda name: (-totals[name][0], name))
    return [{"surface": name, **dict(zip(STAGES, totals[name], strict=True))} for name in (None, *names)]


def _positions(engine: Engine, cells: list[Row], lists: int) -> dict[str, Any]:
    """Click rates by position with 95 % intervals: of all lists, of lists in random order, and corrected."""
    random = _rates(cell for cell in cells if cell["random"])
    told = any(cell["bin"] is not None for cell in cells)
    return {
        "all": _rates(cells),
        "random": random,
        "power": power(random),
        "corrected": corrected(*_weighed(engine, lists)) if told else [],
    }


def _rates(cells: Iterable[Row]) -> list[Row]:
    shown: dict[int, int] = {}
    clicks: dict[int, int] = {}
    for cell in cells:
        at = cell["position"]
        shown[at] = shown.get(at, 0) + cell["shown"]
        clicks[at] = clicks.get(at, 0) + cell["click"]
    kept = sorted(at for at in shown if 0 < at <= MOST_POSITIONS)
    rows = []
    for at in kept:
        low, high = wilson(clicks[at], shown[at])
        rate = clicks[at] / shown[at]
        rows.append({"position": at, "n": shown[at], "clicks": clicks[at], "rate": rate, "low": low, "high": high})
    return rows


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a binomial share; (0, 1) where nothing was tried."""
    if not n:
        return 0.0, 1.0
    share, square = hits / n, Z * Z / n
    middle = share + square / 2
    half = Z * (share * (1 - share) / n + square / (4 * n)) ** 0.5
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def power(rates: list[Row]) -> dict[str, float] | None:
    """The exponent of rate ~ position ** -power and its standard error, by Poisson regression; None without clicks."""
    if len(rates) < 2 or sum(row["clicks"] for row in rates) < 20:
        return None
    n, clicks = (np.asarray([row[name] for row in rates], np.float64) for name in ("n", "clicks"))
    design = np.stack([np.ones(len(rates)), np.log([row["position"] for row in rates])], axis=1)
    weights = np.asarray([np.log(clicks.sum() / n.sum()), 0.0])
    for _ in range(50):
        expected = n * np.exp(design @ weights)
        information = design.T @ (expected[:, None] * design)
        step = np.linalg.solve(information, design.T @ (clicks - expected))
        weights = weights + np.clip(step, -2, 2)
    return {"value": float(-weights[1]), "error": float(np.linalg.inv(information)[1, 1] ** 0.5)}


def _weighed(engine: Engine, lists: int) -> tuple[npt.NDArray[Any], ...]:
    """List, position, propensity, size of the list and click of the lines of at most some `WEIGHED_LISTS` lists."""
    # The lists looked at share a remainder already: other bits of the hash choose among them.
    found = engine.columns(
        f"""SELECT list, position, propensity, size, click FROM lines
        WHERE propensity IS NOT NULL AND position > 0 AND (list >> 32) % {max(1, -(-lists // WEIGHED_LISTS))} = 0
        ORDER BY list, position"""
    )
    return tuple(np.asarray(found[name]) for name in ("list", "position", "propensity", "size", "click"))


def corrected(
    lists: npt.NDArray[Any],
    position: npt.NDArray[Any],
    propensity: npt.NDArray[Any],
    size: npt.NDArray[Any],
    click: npt.NDArray[Any],
) -> list[Row]:
    """Click rates by position had every list been in random order, by inverse propensities; lines sorted by list.

    A line's propensity is its chance given the lines above it, so that a list's weight at position k is the product of
    (chance in a random order) / (propensity) over positions 1 to k, self-normalised. The weights spread with k: the
    curve ends where the effective number of lists, (sum w)^2 / sum w^2, falls below `LEAST_EFFECTIVE`.
    """
    left = np.maximum(size - position + 1, 1)
    logs = -np.log(left * np.maximum(propensity, 1e-12))
    starts = np.flatnonzero(np.diff(lists.astype(np.uint64), prepend=np.uint64(0)) != 0) if len(lists) else lists
    if len(lists) and (not len(starts) or starts[0] != 0):
        starts = np.concatenate([[0], starts])
    sums = np.cumsum(logs)
    before = np.repeat(sums[starts] - logs[starts], np.diff(np.append(starts, len(logs)))) if len(lists) else sums
    weights = np.exp(np.clip(sums - before, -50, 50))
    rows: list[Row] = []
    for at in range(1, int(position.max(initial=0)) + 1):
        chosen = position == at
        w, c = weights[chosen], click[chosen].astype(np.float64)
        if not len(w) or (w.sum() ** 2 / (w @ w)) < LEAST_EFFECTIVE:
            break
        rate = float(w @ c / w.sum())
        half = Z * float(np.sqrt(((w * (c - rate)) ** 2).sum()) / w.sum())
        rows.append({"position": at, "n": float(w.sum() ** 2 / (w @ w)), "rate": rate,
                     "low": max(0.0, rate - half), "high": min(1.0, rate + half)})  # fmt: skip
    return rows


def _propensities(cells: list[Row]) -> dict[str, Any]:
    """How many lines say a propensity, their range, lines in random order, and counts by half powers of ten."""
    told = [cell for cell in cells if cell["bin"] is not None]
    total = sum(cell["shown"] for cell in cells)
    counts: dict[int, int] = {}
    for cell in told:
        bin_ = min(cell["bin"], -1)
        counts[bin_] = counts.get(bin_, 0) + cell["shown"]
    random = sum(cell["shown"] for cell in cells if cell["random"])
    bins = [
        {"from": 10 ** (at / 2), "to": 10 ** ((at + 1) / 2), "n": counts.get(at, 0)}
        for at in (range(min(counts), 0) if counts else ())
    ]
    return {
        "lines": total,
        "told": sum(cell["shown"] for cell in told),
        "broken": sum(cell["broken"] for cell in cells),
        "random": random,
        "min": min((cell["low"] for cell in told), default=None),
        "max": max((cell["high"] for cell in told), default=None),
        "bins": bins,
    }
