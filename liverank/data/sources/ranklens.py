"""Reads RankLens as it is published: metadata.jsonl (movies) and ranking.jsonl (what was shown and liked)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.lines import Aside
from liverank.data.sources.parts import Part
from liverank.data.sources.rows import Pairs, Rows, begins, instant_of, objects, pairs_of, text_of

ROWS: Final = 50_000
LIKED: Final = "click"
"""What Metarank's own copy of the data calls a movie that was liked."""


def kind_of(file: Location) -> str:
    """`movies` or `rankings`; empty for other files."""
    if begins(file, lambda row: row.keys() >= {"id", "shown", "liked", "ts", "user"}):
        return "rankings"
    return "movies" if begins(file, lambda row: row.keys() >= {"id", "title", "overview", "tmdbId"}) else ""


def read_movies(file: Location) -> Iterator[Part]:
    """Movies as items: overview as text, the first genre as category."""
    names = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES)
    aside, rows = Aside("items", file.name), Rows("items", names, file.name)
    for found in objects(file, aside, ROWS):
        for line, text, movie in found:
            if movie.get("id") is None:
                aside.put(line, text, "has no id")
                continue
            genres = _names(movie.get("genres"))
            rows.add(line, text_of(movie["id"]), text_of(movie.get("title")), text_of(movie.get("overview")),
                     (genres or [""])[0], _attributes(movie, genres))  # fmt: skip
        yield from aside.take()
        yield from rows.take()


def _attributes(movie: dict[str, Any], genres: list[str]) -> Pairs:
    people = {"director": _names([movie.get("director")]), "actors": _names(movie.get("topActors"))}
    plain = {name: movie.get(name) for name in ("tags", "runtime", "budget", "revenue", "tmdbVoteAverage", "tmdbId")}
    return pairs_of({"genres": genres, **people, **plain})


def _names(entries: Any) -> list[str]:
    listed = entries if isinstance(entries, list) else []
    return [text_of(entry.get("name")) for entry in listed if isinstance(entry, dict) and entry.get("name")]


def read_rankings(file: Location) -> Iterator[Part]:
    """Rankings as impressions, liked movies as clicks of them."""
    impressions = Rows("impressions", (c.IMPRESSION_ID, c.USER_ID, c.TIMESTAMP, c.SHOWN), file.name)
    names = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.IMPRESSION_ID)
    clicks, aside = Rows("interactions", names, file.name), Aside("impressions", file.name)
    for found in objects(file, aside, ROWS):
        for line, text, ranking in found:
            number, user = text_of(ranking.get("id")), text_of(ranking.get("user"))
            at, shown, liked = instant_of(ranking.get("ts")), ranking.get("shown"), ranking.get("liked") or []
            if not number or not user or at is None or not isinstance(shown, list) or not shown:
                aside.put(line, text, "lacks its id, user, time or list")
                continue
            listed = [{c.ITEM_ID: text_of(item), c.POSITION: place} for place, item in enumerate(shown, 1)]
            impressions.add(line, number, user, at, listed)
            for item in liked:
                clicks.add(0, f"{number}:{text_of(item)}", user, text_of(item), LIKED, at, number)
        yield from aside.take()
        yield from impressions.take()
        yield from clicks.take()
