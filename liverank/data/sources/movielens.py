"""Reads MovieLens: GroupLens' own folders, old and new, and the sequence files that papers make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources import movielens_sequences as sequences
from liverank.data.sources.folder import beside, files_of, one_of, some_of
from liverank.data.sources.lines import Lines, batches, first_line, first_lines, instants, keep, read_lines, split
from liverank.data.sources.movielens_catalogue import CATALOGUES
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.errors import DataError

RATING: Final = "rating"
CSV_HEADER: Final = "userId,movieId,rating,timestamp"
NOT_RATINGS: Final = "is not user, movie, rating and time"
NOT_NUMBERS: Final = "its rating or its time is no number"
IGNORED: Final = re.compile(
    r"(?i)(tags|links|genome-.*|readme|u\.(genre|info|occupation)|u[1-5ab]\.(base|test)|r[1-5ab]\.(train|test)|"
    r"ua\.|ub\.|checksums|allbut|mku|split_ratings|license).*"
)
"""Files of the archives that hold no rating: tags, links, and cross-validation folds that repeat u.data."""


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source is one that holds MovieLens ratings."""
    return any(_reader(file) for file in some_of(config))


def read(config: SourceConfig) -> Parts:
    """Ratings as events of the type `rating`, movies as items (genres as category, text and attribute), users.

    Raises:
        DataError: there are no ratings, or the same ratings in several files.
    """
    files = files_of(config)
    found = [(file, reader) for file in files if (reader := _reader(file))]
    if not found:
        raise DataError(
            f"{config.source} holds no MovieLens ratings.",
            "Expected ratings.dat, u.data, ratings.csv, or a file of sequences such as ml-1m_sas.txt.",
        )
    one_of([file for file, _ in found], "the ratings", config.source)
    file, reader = found[0]
    yield from _others(files, file)
    yield from _catalogue(file)
    yield from reader(file)


def _reader(file: Location) -> Callable[[Location], Iterator[Part]] | None:
    """How to read the file's ratings; None where it holds none."""
    name = file.name.lower().removesuffix(".gz")
    if name == "ratings.dat" and any(line.count("::") == 3 for line in first_lines(file)):
        return lambda location: _rows(location, "::")
    if name == "u.data" and any(line.count("\t") == 3 for line in first_lines(file)):
        return lambda location: _rows(location, "\t")
    if name == "ratings.csv" and first_line(file).replace('"', "").replace(" ", "") == CSV_HEADER:
        return lambda location: _rows(location, ",", header=True)
    return sequences.reader(file)


def _rows(file: Location, separator: str, header: bool = False) -> Iterator[Part]:
    for block in read_lines(file):
        lines = _without_header(block) if header else block
        (user, movie, rating, time), lines, aside = split(lines, separator, 4, "interactions", NOT_RATINGS)
        at, number = instants(time), pc.match_substring_regex(rating, r"^\d+(\.\d+)?$")
        good = pc.and_(pc.is_valid(at), number)
        (user, movie, rating, at), lines = keep(lines, [user, movie, rating, at], good, NOT_NUMBERS, aside)
        yield from aside.take()
        table = pa.table({c.USER_ID: user, c.ITEM_ID: movie, c.VALUE: rating, c.TIMESTAMP: at})
        rated = table.append_column(c.TYPE, pa.repeat(pa.scalar(RATING), table.num_rows))
        yield from batches("interactions", rated, file.name, lines.numbers)


def _without_header(lines: Lines) -> Lines:
    if lines.numbers[:1] != [1]:
        return lines
    return Lines(lines.file, lines.numbers[1:], lines.texts[1:])


def _catalogue(ratings: Location) -> Iterator[Part]:
    """Movies and users of the files beside the ratings, under the ids that the ratings use."""
    maps = sequences.id_maps(ratings)
    titles = False
    for name, (table, read_catalogue) in CATALOGUES.items():
        file = beside(ratings, name)
        if file is None:
            continue
        titles = titles or table == "items"
        if not file.encoding and file.suffix != ".csv" and not _is_utf8(file):
            file = replace(file, encoding="latin-1")
            yield Note(f"{file.name} is not UTF-8: it was read as Latin-1, which GroupLens' own files are in.")
        yield from read_catalogue(file, maps.get(table))
    if not titles:
        yield Note(f"There is no file of movies beside {ratings.name}: the items have ids and no text.")


def _is_utf8(file: Location) -> bool:
    try:
        with file.open() as content:
            content.read().decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def _others(files: list[Location], ratings: Location) -> Iterator[Note]:
    read = {*CATALOGUES, *sequences.MAPS.values(), ratings.name.lower()}
    rest = [file.name for file in files if file.name.lower() not in read and file.name.lower() + ".gz" not in read]
    known = [name for name in rest if IGNORED.match(name)]
    unknown = [name for name in rest if name not in known]
    if known:
        yield Note(f"Not read, for they hold no further rating: {', '.join(known)}.")
    if unknown:
        yield Note(f"Not read, for they are no part of MovieLens: {', '.join(unknown)}.")


FORMAT: Final = Format(
    "movielens", "MovieLens: ratings.dat, u.data, ratings.csv with their movies, or sequence files", recognises, read
)
