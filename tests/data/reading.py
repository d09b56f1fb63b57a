"""Reads a source in a format as ingest does, for the tests of the formats."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime

from liverank.config.data import SourceConfig
from liverank.data.collect import collect
from liverank.data.sources.registry import format_of


def read(source, **settings):
    """The source as a Dataset, its format told by its content unless a setting names it."""
    config = SourceConfig(source=str(source), **settings)
    return collect(format_of(config).read(config), timezone=config.timezone)


def told(source):
    """The name of the format that the source is taken for."""
    return format_of(SourceConfig(source=str(source))).name


def rows(dataset, table, *names):
    """The rows of a table as tuples of the named columns, in the order of the source."""
    return list(zip(*(dataset.tables[table].column(name).to_pylist() for name in names), strict=True))


def refused(dataset):
    """(table, file, line, reason) of each row that was set aside."""
    return [(row["table"], row["file"], row["line"], row["reason"]) for row in dataset.rejected.to_pylist()]


def reasons(dataset):
    """Reason -> how many rows were set aside for it."""
    return Counter(dataset.rejected.column("reason").to_pylist())


def lines(path, *texts, encoding="utf-8"):
    """Writes the lines, compressed where the name ends in .gz."""
    data = ("\n".join(texts) + "\n").encode(encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def json_lines(path, *objects):
    """Writes one JSON object a line; text stays as it is."""
    return lines(path, *(entry if isinstance(entry, str) else json.dumps(entry) for entry in objects))


def at(*parts):
    """An instant in UTC."""
    return datetime(*parts, tzinfo=UTC)
