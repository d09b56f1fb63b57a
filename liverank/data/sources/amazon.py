"""Reads Amazon's reviews: the releases of 2014, 2018 and 2023 with their metadata, and the sequences made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.amazon_items import is_metadata, read_metadata
from liverank.data.sources.amazon_sequences import sequence_reader
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.lines import Aside, first_line
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.data.sources.rows import Row, Rows, begins, instant_of, objects
from liverank.errors import DataError

RATING: Final = "rating"
ROWS: Final = 50_000
"""Lines a batch: a review may be pages long."""
COLUMNS: Final = (c.USER_ID, c.ITEM_ID, c.TYPE, c.VALUE, c.TIMESTAMP, c.CONTEXT)
Reader = Callable[[Location], Iterator[Part]]


class Review(msgspec.Struct):
    """A line of any of the releases: the first five fields until 2018, the others in 2023."""

    reviewerID: str | None = None
    asin: str | None = None
    overall: float | None = None
    unixReviewTime: float | None = None
    verified: bool | str | None = None
    user_id: str | None = None
    parent_asin: str | None = None
    rating: float | None = None
    timestamp: float | None = None
    verified_purchase: bool | str | None = None


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source holds Amazon reviews."""
    return any(_reader(file) for file in some_of(config))


def read(config: SourceConfig) -> Parts:
    """Reviews as events of the type `rating`, metadata as items.

    Raises:
        DataError: there are no reviews.
    """
    files = files_of(config)
    readers = [(file, reader) for file in files if (reader := _reader(file))]
    if not readers:
        raise DataError(
            f"{config.source} holds no Amazon reviews.",
            "Expected JSON lines with reviewerID, asin, overall, unixReviewTime or with user_id, parent_asin, rating.",
        )
    metadata = [file for file in files if is_metadata(file)]
    for file in metadata:
        yield from read_metadata(file)
    for file, reader in readers:
        yield from reader(file)
    known = {file.name for file, _ in readers} | {file.name for file in metadata}
    others = [file.name for file in files if file.name not in known]
    if others:
        yield Note(f"Not read, for they hold neither reviews nor metadata: {', '.join(others)}.")


def _reader(file: Location) -> Reader | None:
    """How to read the file's reviews; None where it holds none."""
    return _reviews if begins(file, _is_review) else sequence_reader(file, first_line(file))


def _is_review(row: Row) -> bool:
    return row.keys() >= {"reviewerID", "asin", "overall"} or row.keys() >= {"user_id", "parent_asin", "rating"}


def _reviews(file: Location) -> Iterator[Part]:
    aside, rows = Aside("interactions", file.name), Rows("interactions", COLUMNS, file.name)
    verified = {flag: [("verified", flag)] for flag in ("true", "false")}
    for found in objects(file, aside, ROWS, Review):
        for line, text, review in found:
            recent = review.parent_asin is not None
            user, item = (review.user_id, review.parent_asin) if recent else (review.reviewerID, review.asin)
            stars = review.rating if recent else review.overall
            at = instant_of(review.timestamp, "ms") if recent else instant_of(review.unixReviewTime)
            missing = _missing(user, item, stars, at)
            if missing:
                aside.put(line, text, missing)
                continue
            bought = review.verified_purchase if recent else review.verified
            context = verified.get(str(bought).lower(), [])
            rows.add(line, user, item, RATING, stars, at, context)
        yield from aside.take()
        yield from rows.take()


def _missing(user: str | None, item: str | None, stars: float | None, at: Any) -> str:
    """Why a review is no event; empty where it is one."""
    for name, value in (("reviewer", user), ("product", item), ("rating", stars), ("time", at)):
        if value is None or value == "":
            return f"has no {name}"
    return ""


FORMAT: Final = Format(
    "amazon", "Amazon reviews of 2014, 2018 or 2023 as JSON lines, with their meta_ files", recognises, read
)
