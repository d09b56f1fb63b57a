"""MovieLens' movies and users, in each of the layouts that its releases have had."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.lines import STRINGS, Aside, Lines, batches, read_lines
from liverank.data.sources.parts import Part

Ids = Mapping[str, str] | None
"""Id in the file of movies or users -> id that the ratings use; None: the same."""
Row = dict[str, Any]

GENRES: Final = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The columns after the fifth of u.item, in their order."""
NO_GENRES: Final = "(no genres listed)"
YEAR: Final = re.compile(r"\((\d{4})(?:-\d{4}|-)?\)\s*$")


def _movie_row(cells: Sequence[str]) -> Row | None:
    return _movie(cells[0], cells[1], cells[2].split("|")) if len(cells) == 3 else None


def _u_item(cells: Sequence[str]) -> Row | None:
    if len(cells) != 5 + len(GENRES):
        return None
    genres = [genre for genre, flag in zip(GENRES, cells[5:], strict=True) if flag == "1"]
    row = _movie(cells[0], cells[1], genres)
    released = [("release_date", cells[2])] if cells[2] else []
    return {**row, c.ATTRIBUTES: row[c.ATTRIBUTES] + released}


def _movie(number: str, title: str, genres: Sequence[str]) -> Row:
    """A movie with its first genre as category; the others are its text, so that models read all of them."""
    named = [genre.strip() for genre in genres if genre.strip() and genre.strip() != NO_GENRES]
    year = YEAR.search(title)
    attributes = [("genres", "|".join(named))] if named else []
    attributes += [("year", year[1])] if year else []
    told = {c.TITLE: title.strip(), c.TEXT: ", ".join(named[1:]), c.CATEGORY: (named or [""])[0]}
    return {c.ITEM_ID: number, **told, c.ATTRIBUTES: attributes}


def _users_dat(cells: Sequence[str]) -> Row | None:
    """`user::gender::age::occupation::zip` of 1M."""
    names = ("gender", "age", "occupation", "zip")
    return _user(cells, names) if len(cells) == 5 else None


def _u_user(cells: Sequence[str]) -> Row | None:
    """`user|age|gender|occupation|zip` of 100K."""
    names = ("age", "gender", "occupation", "zip")
    return _user(cells, names) if len(cells) == 5 else None


def _user(cells: Sequence[str], names: Sequence[str]) -> Row:
    known = [(name, text.strip()) for name, text in zip(names, cells[1:], strict=True) if text.strip()]
    return {c.USER_ID: cells[0].strip(), c.ATTRIBUTES: known}


def _table(table: str, separator: str, parse: Callable[[Sequence[str]], Row | None]) -> Callable[..., Iterator[Part]]:
    key = c.ITEM_ID if table == "items" else c.USER_ID

    def read(file: Location, ids: Ids) -> Iterator[Part]:
        for lines in read_lines(file):
            rows, numbers, aside = [], [], Aside(table, file.name)
            for number, text, cells in _cells(lines, separator):
                row = parse(cells)
                if row is None:
                    aside.put(number, text, f"has {len(cells)} fields, which is no row of {file.name}")
                elif ids is None:
                    rows.append(row)
                    numbers.append(number)
                elif (known := ids.get(row[key])) is not None:
                    rows.append({**row, key: known, c.ATTRIBUTES: [*row[c.ATTRIBUTES], ("movielens_id", row[key])]})
                    numbers.append(number)
                else:
                    aside.put(number, text, "nobody rated it in the file of sequences")
            yield from aside.take()
            yield from batches(table, _arrow(rows, table), file.name, numbers)

    return read


def _cells(lines: Lines, separator: str) -> Iterator[tuple[int, str, list[str]]]:
    for number, text in zip(lines.numbers, lines.texts, strict=True):
        cells = next(csv.reader([text])) if separator == "," else text.split(separator)
        if number > 1 or cells[0] not in ("movieId", "userId"):
            yield number, text, cells


def _arrow(rows: list[Row], table: str) -> pa.Table:
    names = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORY, c.ATTRIBUTES) if table == "items" else (c.USER_ID, c.ATTRIBUTES)
    kinds = {name: STRINGS if name == c.ATTRIBUTES else pa.string() for name in names}
    return pa.table({name: pa.array([row[name] for row in rows], kinds[name]) for name in names})


CATALOGUES: Final[Mapping[str, tuple[str, Callable[[Location, Ids], Iterator[Part]]]]] = {
    "movies.dat": ("items", _table("items", "::", _movie_row)),
    "movies.csv": ("items", _table("items", ",", _movie_row)),
    "u.item": ("items", _table("items", "|", _u_item)),
    "users.dat": ("users", _table("users", "::", _users_dat)),
    "u.user": ("users", _table("users", "|", _u_user)),
}
"""Name of a file -> the table it holds and its reader, which takes the file and the ids that the ratings use."""
