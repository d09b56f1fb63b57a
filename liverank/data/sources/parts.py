"""What a source yields: rows meant for a table of the contract, rows that it cannot read, and remarks for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from liverank.config.data import SourceConfig

BATCH_ROWS: Final = 200_000
"""Rows a batch should hold at most, so that a source of any size is read in bounded memory."""


@dataclass(frozen=True)
class Batch:
    """Rows for one table, in the contract's column names; `liverank.data.conform` turns their values into its types.

    Values may be what the source has: text, numbers, ISO times, typed Arrow columns. Columns that the contract does not
    know are told to the user and left out.
    """

    table: str
    """`items`, `users`, `impressions` or `interactions`."""
    rows: pa.Table
    file: str = ""
    """Where the rows stand, for messages: a file's name, a topic, a query."""
    first_line: int = 0
    """Line of the first row in the file, from 1; 0 where there are no lines."""
    lines: pa.Array | None = None
    """Line of each row, where they do not follow one another line by line; goes before `first_line`."""


@dataclass(frozen=True)
class Refused:
    """Rows that the source itself cannot make sense of, in `liverank.data.dataset.REJECTED_SCHEMA`."""

    rows: pa.Table


@dataclass(frozen=True)
class Note:
    """One sentence about the source that a person should read: an assumption made, a file left out."""

    text: str


Part = Batch | Refused | Note
Parts = Iterator[Part]


@dataclass(frozen=True)
class Format:
    """A format that sources come in."""

    name: str
    """Its value of `data.format`."""
    about: str
    """What it is, in a few words, for `liverank data inspect` and the documentation."""
    recognises: Callable[[SourceConfig], bool]
    """Whether the source looks like this format; reads no more than the beginning of a file."""
    read: Callable[[SourceConfig], Parts]
    """The source's parts; raises a DataError where it cannot be read."""
    read_landed: Callable[[SourceConfig, Path], Parts] | None = None
    """Of a stream: lands what is new in the workspace's landing folder, then reads all that was ever landed."""
