"""Reads MIND, Microsoft's news data set: behaviors.tsv (what was shown, what was clicked before) and news.tsv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.lines import Lines, batches, first_lines, keep, maps_of, read_lines, split
from liverank.data.sources.parts import Batch, Format, Note, Part, Parts
from liverank.data.values import INSTANT
from liverank.errors import DataError
from liverank.events import SHOWN_ITEM

ZONE: Final = "America/Los_Angeles"
"""What the times are read in unless `timezone` says otherwise; the data set names none."""
TIME: Final = "%m/%d/%Y %I:%M:%S %p"
CLICK: Final = "click"
ROWS: Final = 20_000
"""Lines a batch: each is a list of dozens of news."""
SECOND: Final = 1_000_000


def recognises(config: SourceConfig) -> bool:
    """Whether the source holds a behaviors.tsv or a news.tsv of MIND."""
    return any(_is_behaviors(file) or _is_news(file) for file in some_of(config))


def read(config: SourceConfig) -> Parts:
    """Impressions with what was shown, clicks of them, earlier clicks from the history column, and news as items.

    Raises:
        DataError: there is no behaviors.tsv.
    """
    files = files_of(config)
    behaviors = [file for file in files if _is_behaviors(file)]
    news = [file for file in files if _is_news(file)]
    if not behaviors:
        raise DataError(f"{config.source} holds no behaviors.tsv of MIND.", "Unpack the archive and name its folder.")
    yield from _notes(config.timezone or ZONE, [file for file in files if file not in behaviors + news])
    yield from _news(news)
    reader = _Behaviors(config.timezone or ZONE)
    for file in behaviors:
        reader.learn_first_times(file)
    for file in behaviors:
        # Each part of the data set counts its impressions from 1.
        yield from reader.read(file, f"{file.folder}-" if len(behaviors) > 1 else "")


def _is_behaviors(file: Location) -> bool:
    named = file.name.lower().removesuffix(".gz").endswith("behaviors.tsv")
    return named and any(line.count("\t") == 4 for line in first_lines(file))


def _is_news(file: Location) -> bool:
    named = file.name.lower().removesuffix(".gz").endswith("news.tsv")
    return named and any(line.count("\t") == 7 for line in first_lines(file))


def _notes(zone: str, others: list[Location]) -> Iterator[Note]:
    yield Note(f"MIND's times name no zone: they are read as {zone}; data.timezone sets another.")
    yield Note("MIND shuffled each list: positions are the order in the file, not where a piece of news stood.")
    yield Note(
        "The history column has no times: its clicks are set one second apart, the last of them one second before the "
        "user's first impression."
    )
    if others:
        yield Note(f"Not read, for they are neither behaviors nor news: {', '.join(file.name for file in others)}.")


@dataclass
class _Behaviors:
    """Reads behaviors in two passes: a user's history belongs before the first of the user's impressions."""

    zone: str
    first: dict[str, int] = field(default_factory=dict)
    """User -> microseconds of the first impression."""
    told: set[str] = field(default_factory=set)
    """Users whose history has been read."""

    def learn_first_times(self, file: Location) -> None:
        """Keeps the time of each user's first impression."""
        for block in read_lines(file, ROWS):
            columns, _, _ = split(block, "\t", 5, "impressions", "")
            at = self._instants(columns[2])
            times = pd.Series(at.cast(pa.int64()).to_numpy(zero_copy_only=False), index=columns[1].to_pylist())
            for user, time in times.dropna().groupby(level=0).min().items():
                self.first[user] = min(self.first.get(user, int(time)), int(time))

    def read(self, file: Location, prefix: str) -> Iterator[Part]:
        """Impressions, clicks and histories of one file; `prefix` goes before the impression's id."""
        for block in read_lines(file, ROWS):
            columns, lines, aside = split(block, "\t", 5, "impressions", "is not impression, user, time, history, list")
            columns[2] = self._instants(columns[2])
            good = pc.is_valid(columns[2])
            columns, lines = keep(lines, columns, good, "its time is not like 11/15/2019 8:55:22 AM", aside)
            good = pc.not_equal(pc.utf8_trim_whitespace(columns[4]), "")
            columns, lines = keep(lines, columns, good, "nothing was shown", aside)
            yield from aside.take()
            if lines.texts:
                yield from self._parts(columns, lines, prefix)

    def _instants(self, times: pa.Array) -> pa.Array:
        naive = pc.strptime(pc.utf8_trim_whitespace(times), format=TIME, unit="us", error_is_null=True)
        return pc.assume_timezone(naive, self.zone, ambiguous="earliest", nonexistent="latest").cast(INSTANT)

    def _parts(self, columns: list[pa.Array], lines: Lines, prefix: str) -> Iterator[Part]:
        number, user, at, history, listed = columns
        impression = pc.binary_join_element_wise(prefix, number, "")
        shown = pc.split_pattern(pc.utf8_trim_whitespace(listed), " ")
        row, entry, position = _flattened(shown)
        items = pc.replace_substring_regex(entry, r"-[01]$", "")
        things = _shown_items(items, position)
        rows = {
            c.IMPRESSION_ID: impression,
            c.USER_ID: user,
            c.TIMESTAMP: at,
            c.SHOWN: pa.ListArray.from_arrays(_offsets(shown), things),
        }
        yield from batches("impressions", pa.table(rows), lines.file, lines.numbers)
        clicked = pc.ends_with(entry, "-1")
        of, place = row.filter(clicked), position.filter(clicked)
        ids = pc.binary_join_element_wise(impression.take(of), place.cast(pa.string()), ":")
        yield from _clicks(ids, user.take(of), items.filter(clicked), at.take(of), impression.take(of), lines.file)
        yield from self._histories(user, at, history, lines.file)

    def _histories(self, user: pa.Array, at: pa.Array, history: pa.Array, file: str) -> Iterator[Part]:
        """The histories of users who have not been met yet in their first impression."""
        chosen = []
        for index, (name, time) in enumerate(zip(user.to_pylist(), at.cast(pa.int64()).to_pylist(), strict=True)):
            if name not in self.told and self.first.get(name) == time:
                self.told.add(name)
                chosen.append(index)
        texts = pc.utf8_trim_whitespace(history.take(pa.array(chosen, pa.int64())))
        user, at = user.take(pa.array(chosen, pa.int64())), at.take(pa.array(chosen, pa.int64()))
        filled = pc.not_equal(texts, "")
        user, at, clicked = user.filter(filled), at.filter(filled), pc.split_pattern(texts.filter(filled), " ")
        row, item, position = _flattened(clicked)
        length = pc.list_value_length(clicked).take(row)
        # The last of n is one second before the impression, the first n seconds.
        back = pc.multiply(pc.subtract(pc.add(length, 1), position).cast(pa.int64()), SECOND)
        times = pc.subtract(at.take(row).cast(pa.int64()), back).cast(INSTANT)
        names = user.take(row)
        ids = pc.binary_join_element_wise(names, "history", position.cast(pa.string()), ":")
        yield from _clicks(ids, names, item, times, pa.nulls(len(item), pa.string()), file)


def _flattened(lists: pa.ListArray) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Of each entry of lists of texts: the row it is in, the text, its position from 1."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.repeat(np.arange(len(lists)), lengths)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return pa.array(rows), lists.flatten(), pa.array((np.arange(len(rows)) - starts + 1).astype(np.int32))


def _offsets(lists: pa.ListArray) -> pa.Array:
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int32)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _shown_items(items: pa.Array, positions: pa.Array) -> pa.StructArray:
    given = {c.ITEM_ID: items, c.POSITION: positions}
    columns = [given.get(kind.name, pa.nulls(len(items), kind.type)) for kind in SHOWN_ITEM]
    return pa.StructArray.from_arrays(columns, fields=list(SHOWN_ITEM))


def _clicks(
    ids: pa.Array, users: pa.Array, items: pa.Array, at: pa.Array, impressions: pa.Array, file: str
) -> Iterator[Part]:
    if len(ids):
        kinds = pa.repeat(pa.scalar(CLICK), len(ids))
        columns = (ids, users, items, kinds, at, impressions)
        names = (c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.IMPRESSION_ID)
        yield Batch("interactions", pa.table(dict(zip(names, columns, strict=True))), file)


def _news(files: list[Location]) -> Iterator[Part]:
    """News as items; a piece that several parts of the data set tell is taken from the first."""
    seen: set[str] = set()
    repeated = 0
    for file in files:
        for block in read_lines(file):
            columns, lines, aside = split(block, "\t", 8, "items", "is not the eight fields of a piece of news")
            chosen = _first_of_each(columns[0].to_pylist(), seen)
            repeated += len(lines.texts) - len(chosen)
            at = pa.array(chosen, pa.int64())
            number, category, subcategory, title, abstract = (column.take(at) for column in columns[:5])
            yield from aside.take()
            rows = {
                c.ITEM_ID: number,
                c.TITLE: title,
                c.TEXT: abstract,
                c.CATEGORY: category,
                c.ATTRIBUTES: maps_of("subcategory", subcategory),
            }
            yield from batches("items", pa.table(rows), file.name, [lines.numbers[place] for place in chosen])
    if repeated:
        yield Note(f"{repeated:,} lines of news repeat an earlier one's id: the first is taken.")


def _first_of_each(ids: list[str], seen: set[str]) -> list[int]:
    """Where ids stand that have not been seen; they have been then."""
    chosen = []
    for at, number in enumerate(ids):
        if number not in seen:
            seen.add(number)
            chosen.append(at)
    return chosen


FORMAT: Final = Format("mind", "MIND: behaviors.tsv and news.tsv of Microsoft's news data set", recognises, read)
