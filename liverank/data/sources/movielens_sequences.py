"""MovieLens as papers pass it on: users' movies in the order of time, without the times, under ids of their own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.data.locations import Location
from liverank.data.sources.folder import beside, parquet_batches, parquet_columns
from liverank.data.sources.lines import batches, first_lines, instants, keep, maps_of, read_lines, split
from liverank.data.sources.parts import Batch, Note, Part
from liverank.data.values import INSTANT

RATING: Final = "rating"
MAPS: Final[Mapping[str, str]] = {"items": "sas_to_original_items.txt", "users": "sas_to_original_users.txt"}
FIRST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
NO_TIMES: Final = (
    "{file} has an order and no times: each user's events are set one second apart from 2000-01-01T00:00:00Z on, so "
    "that the order within a user is right and times of different users say nothing."
)
NO_STARS: Final = "{file} has no stars: the value 1 of a rating says that the user rated the item, not how."
NOT_A_PAIR: Final = "is not a user and an item, two whole numbers"


def reader(file: Location) -> Callable[[Location], Iterator[Part]] | None:
    """How to read a file of sequences; None where it is none."""
    name = file.name.lower().removesuffix(".gz")
    if re.fullmatch(r".*(_sas|sasrec|ml-1m|ml-20m).*\.txt", name) and name not in MAPS.values():
        return _pairs if any(re.fullmatch(r"\d+ \d+", line) for line in first_lines(file)) else None
    if name.endswith(".parquet"):
        columns = parquet_columns(file)
        if {"user_id", "pos", "movie_id"} == columns:
            return _positions
        if {"uid", "movie_id", "rating", "timestamp"} <= columns:
            return _timed
    return None


def id_maps(ratings: Location) -> dict[str, dict[str, str]]:
    """Table -> MovieLens' id -> the file's own id, from the maps beside a file of pairs; empty for other files."""
    if not ratings.name.lower().removesuffix(".gz").endswith(".txt"):
        return {}
    found = {table: beside(ratings, name) for table, name in MAPS.items()}
    return {table: _id_map(file) for table, file in found.items() if file}


def _id_map(file: Location) -> dict[str, str]:
    pairs = [text.split() for lines in read_lines(file) for text in lines.texts]
    return {original: own for own, original in pairs}


def invented_times(positions: np.ndarray) -> pa.Array:
    """The instant of an event that is the `position`-th of its user, from 0."""
    start = int(FIRST_MOMENT.timestamp())
    return pa.array((positions.astype(np.int64) + start) * 1_000_000, pa.int64()).cast(INSTANT)


def _pairs(file: Location) -> Iterator[Part]:
    yield Note(NO_TIMES.format(file=file.name))
    yield Note(NO_STARS.format(file=file.name))
    seen: dict[str, int] = defaultdict(int)
    for block in read_lines(file):
        (user, item), lines, aside = split(block, " ", 2, "interactions", NOT_A_PAIR)
        good = pc.and_(pc.match_substring_regex(user, r"^\d+$"), pc.match_substring_regex(item, r"^\d+$"))
        (user, item), lines = keep(lines, [user, item], good, NOT_A_PAIR, aside)
        yield from aside.take()
        at = invented_times(_positions_of(user.to_pylist(), seen))
        yield from batches("interactions", _rated(user, item, at), file.name, lines.numbers)


def _positions_of(users: list[str], seen: dict[str, int]) -> np.ndarray:
    """How many events of its user came before each; `seen` goes on from batch to batch."""
    positions = np.empty(len(users), np.int64)
    for at, user in enumerate(users):
        positions[at] = seen[user]
        seen[user] += 1
    return positions


def _positions(file: Location) -> Iterator[Part]:
    yield Note(NO_TIMES.format(file=file.name))
    yield Note(NO_STARS.format(file=file.name))
    for rows in parquet_batches(file):
        user, item = rows["user_id"].cast(pa.string()), rows["movie_id"].cast(pa.string())
        at = invented_times(rows["pos"].to_numpy())
        yield Batch("interactions", _rated(user, item, at), file.name)


def _timed(file: Location) -> Iterator[Part]:
    for rows in parquet_batches(file):
        user, item = rows["uid"].cast(pa.string()), rows["movie_id"].cast(pa.string())
        table = _rated(user, item, instants(rows["timestamp"].combine_chunks()))
        table = table.set_column(table.schema.get_field_index(c.VALUE), c.VALUE, rows["rating"].cast(pa.float64()))
        if "split" in rows.column_names:
            table = table.append_column(c.CONTEXT, maps_of("split", rows["split"].cast(pa.string()).combine_chunks()))
        yield Batch("interactions", table, file.name)


def _rated(user: pa.Array, item: pa.Array, at: pa.Array) -> pa.Table:
    """Ratings without stars."""
    kinds, ones = pa.repeat(pa.scalar(RATING), len(user)), pa.repeat(pa.scalar(1.0), len(user))
    return pa.table({c.USER_ID: user, c.ITEM_ID: item, c.TYPE: kinds, c.VALUE: ones, c.TIMESTAMP: at})
