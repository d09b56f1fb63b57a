"""Amazon's reviews as tables: the ratings-only CSV files, and the sequences without times that papers make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.folder import beside, parquet_batches, parquet_columns
from liverank.data.sources.lines import Lines, batches, instants, keep, maps_of, read_lines, split
from liverank.data.sources.movielens_sequences import NO_STARS, NO_TIMES, RATING, invented_times
from liverank.data.sources.parts import Batch, Note, Part

HEADER: Final = "user_id,parent_asin,rating,timestamp"
NOT_A_RATING: Final = "is not user, product, rating and time"
ITEMS: Final = "games_items.parquet"


def sequence_reader(file: Location, first: str) -> Callable[[Location], Iterator[Part]] | None:
    """How to read the table's events; None where it holds none."""
    if first.startswith(HEADER):
        return _ratings
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
        kinds = pa.repeat(pa.scalar(RATING), len(user))
        cells = {c.USER_ID: user, c.ITEM_ID: item, c.TYPE: kinds, c.VALUE: rating, c.TIMESTAMP: at}
        yield from batches("interactions", pa.table(cells), file.name, lines.numbers)
    if extra:
        yield Note(f"{file.name}: the columns after the fourth were not read.")


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
