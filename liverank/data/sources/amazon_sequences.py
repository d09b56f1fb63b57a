"""Amazon's reviews as tables: the ratings-only CSV files, and the sequences without times that papers make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.folder import beside, parquet_batches, parquet_columns
from liverank.data.sources.lines import Lines, batches, first_lines, instants, keep, maps_of, read_lines, split
from liverank.data.sources.movielens_sequences import NO_STARS, NO_TIMES, RATING, invented_times
from liverank.data.sources.parts import Batch, Note, Part

PLAIN: Final = re.compile(r"([A-Z0-9]{10,}),([A-Z0-9]{10,}),[1-5](?:\.0)?,\d{8,10}")
ASIN: Final = 10
HEADER: Final = "user_id,parent_asin,rating,timestamp"
NOT_A_RATING: Final = "is not user, product, rating and time"
ITEMS: Final = "games_items.parquet"


def sequence_reader(file: Location, first: str) -> Callable[[Location], Iterator[Part]] | None:
    """How to read the table's events; None where it holds none."""
    if first.startswith(HEADER):
        return _ratings
    if file.suffix == ".csv" and (order := _plain_order(file)):
        return lambda location: _plain_ratings(location, order)
    if file.name.lower().endswith(".parquet"):
        columns = parquet_columns(file)
        return _sequences if {"reviewer_id", "asin", "pos"} <= columns else None
    return None


def _ratings(file: Location) -> Iterator[Part]:
    """The CSV of 2023, times in milliseconds."""
    extra = 0
    for block in read_lines(file):
        width = 4 + (block.texts[0].count(",") - 3 if block.texts else 0)
        lines = block if block.numbers[:1] != [1] else Lines(block.file, block.numbers[1:], block.texts[1:])
        columns, lines, aside = split(lines, ",", width, "interactions", NOT_A_RATING)
        extra = width - 4
        user, item, rating, time = columns[:4]
        at = instants(time, "ms")
        good = pc.and_(pc.is_valid(at), pc.match_substring_regex(rating, r"^\d+(\.\d+)?$"))
        (user, item, rating, at), lines = keep(lines, [user, item, rating, at], good, NOT_A_RATING, aside)
        yield from aside.take()
        yield from batches("interactions", _ratings_table(user, item, rating, at), file.name, lines.numbers)
    if extra:
        yield Note(f"{file.name}: the columns after the fourth were not read.")


def _plain_order(file: Location) -> tuple[int, int] | None:
    """Where user and product stand in a file without a header: the release of 2014 has the user first, 2018 second.

    A product's number has ten characters, a user's has more.
    """
    found = [match for line in first_lines(file) if (match := PLAIN.fullmatch(line))]
    for user, item in ((0, 1), (1, 0)):
        ids = [(match[user + 1], match[item + 1]) for match in found]
        if ids and all(len(item_id) == ASIN for _, item_id in ids) and any(len(user_id) > ASIN for user_id, _ in ids):
            return user, item
    return None


def _plain_ratings(file: Location, order: tuple[int, int]) -> Iterator[Part]:
    """The ratings-only files of 2014 and 2018, times in seconds."""
    yield Note(f"{file.name} has no header: its {'first' if order[0] == 0 else 'second'} column is taken for the user.")
    for block in read_lines(file):
        columns, lines, aside = split(block, ",", 4, "interactions", NOT_A_RATING)
        at = instants(columns[3])
        good = pc.and_(pc.is_valid(at), pc.match_substring_regex(columns[2], r"^\d+(\.\d+)?$"))
        chosen = [columns[order[0]], columns[order[1]], columns[2], at]
        (user, item, rating, at), lines = keep(lines, chosen, good, NOT_A_RATING, aside)
        yield from aside.take()
        yield from batches("interactions", _ratings_table(user, item, rating, at), file.name, lines.numbers)


def _ratings_table(user: pa.Array, item: pa.Array, rating: pa.Array, at: pa.Array) -> pa.Table:
    kinds = pa.repeat(pa.scalar(RATING), len(user))
    return pa.table({c.USER_ID: user, c.ITEM_ID: item, c.TYPE: kinds, c.VALUE: rating, c.TIMESTAMP: at})


def _sequences(file: Location) -> Iterator[Part]:
    yield Note(NO_TIMES.format(file=file.name))
    yield Note(NO_STARS.format(file=file.name))
    items = beside(file, file.name.replace("interactions", "items"))
    if items and items.name != file.name:
        yield from _items(items)
    for rows in parquet_batches(file):
        count = rows.num_rows
        cells = {
            c.USER_ID: rows["reviewer_id"],
            c.ITEM_ID: rows["asin"],
            c.TYPE: pa.repeat(pa.scalar(RATING), count),
            c.VALUE: pa.repeat(pa.scalar(1.0), count),
            c.TIMESTAMP: invented_times(rows["pos"].to_numpy()),
        }
        if "split" in rows.column_names:
            cells[c.CONTEXT] = maps_of("split", rows["split"].cast(pa.string()).combine_chunks())
        yield Batch("interactions", pa.table(cells), file.name)


def _items(file: Location) -> Iterator[Part]:
    for rows in parquet_batches(file):
        yield Batch("items", pa.table({c.ITEM_ID: rows["asin"], c.TITLE: rows["title"]}), file.name)
