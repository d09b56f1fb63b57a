"""Reads what KServe's logger told a collector: request and response joined by their id into impressions.

Files are JSON lines of CloudEvents, in any order and as often as they were delivered. Halves wait for each other in a
temporary database on disk, so that memory is bounded whatever the size of the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import msgspec

from liverank.config.data import SourceConfig
from liverank.data.cloudevents import PREFIX, REQUEST, InferenceEvent, from_json
from liverank.data.inference_log import impressions
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.lines import Aside, batches, read_lines
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.data.sources.rows import begins
from liverank.errors import DataError
from liverank.events import Impression, to_table

TABLE: Final = "impressions"
ROWS: Final = 10_000
_CREATE: Final = (
    "CREATE TABLE half (pair TEXT, request INT, file INT, line INT, event BLOB, PRIMARY KEY (pair, request)) "
    "WITHOUT ROWID"
)
_BESIDE: Final = (
    "SELECT one.file, one.line, one.event, other.event FROM half AS one LEFT JOIN half AS other "
    "ON other.pair = one.pair AND other.request = 1 - one.request "
)


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source begins with an event of KServe's logger."""
    return any(
        begins(file, lambda row: "specversion" in row and str(row.get("type")).startswith(PREFIX))
        for file in some_of(config)
    )


def read(config: SourceConfig) -> Parts:
    """The impressions of all pairs, in the order of the requests; what is no half of one is set aside with its reason.

    Raises:
        DataError: there are no files, or one cannot be read.
    """
    with closing(sqlite3.connect("")) as database:
        halves = _Halves(files_of(config), database)
        yield from halves.gather()
        yield from halves.joined()
        yield from halves.alone()


@dataclass
class _Halves:
    """The events of some files, each pair's request and response once."""

    files: list[Location]
    database: sqlite3.Connection
    pairs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.database.execute(_CREATE)

    def gather(self) -> Iterator[Part]:
        """Reads all files; lines that are no such event are set aside."""
        again, unended = 0, 0
        for number, file in enumerate(self.files):
            aside = Aside(TABLE, file.name)
            for lines in read_lines(file, ROWS):
                last = lines.numbers[-1] if lines.unended else 0
                for line, text in zip(lines.numbers, lines.texts, strict=True):
                    try:
                        again += not self._add(from_json(text), number, line)
                    except DataError as problem:
                        if line == last:
                            unended += 1
                        else:
                            aside.put(line, text, problem.message)
                yield from aside.take()
        if again:
            yield Note(f"{again:,} events were delivered more than once, and count once.")
        if unended:
            yield Note(
                f"{unended:,} files end within a line, which is still being written or was never acknowledged; it is "
                "left for the next time."
            )

    def _add(self, event: InferenceEvent, file: int, line: int) -> bool:
        """Whether the event is new.

        Raises:
            DataError: another one had its id.
        """
        key, text = (event.pair, int(event.type == REQUEST)), msgspec.json.encode(event)
        added = self.database.execute("INSERT OR IGNORE INTO half VALUES (?, ?, ?, ?, ?)", (*key, file, line, text))
        if added.rowcount:
            return True
        (known,) = self.database.execute("SELECT event FROM half WHERE pair = ? AND request = ?", key).fetchone()
        if from_json(known).data != event.data:
            raise DataError(f"The id {event.id} was used before, for another {event.type.removeprefix(PREFIX)}.")
        return False

    def joined(self) -> Iterator[Part]:
        """The impressions of pairs, as batches of one file each."""
        found: list[tuple[int, Impression]] = []
        current, aside = 0, self._aside(0)
        query = f"{_BESIDE} WHERE one.request = 1 AND other.event IS NOT NULL ORDER BY one.file, one.line"
        for file, line, request, response in self.database.execute(query):
            if file != current or len(found) >= ROWS:
                yield from self._taken(current, found, aside)
                current, found, aside = file, [], self._aside(file)
            asked = from_json(request)
            try:
                found += [(line, one) for one in impressions(asked.data, from_json(response).data, asked.time)]
                self.pairs += 1
            except DataError as problem:
                aside.put(line, request.decode(), f"the request {asked.id} and its response: {problem.message}")
        yield from self._taken(current, found, aside)

    def _taken(self, file: int, found: list[tuple[int, Impression]], aside: Aside) -> Iterator[Part]:
        yield from aside.take()
        lines = [line for line, _ in found]
        yield from batches(TABLE, to_table([one for _, one in found], TABLE), aside.file, lines)

    def alone(self) -> Iterator[Part]:
        """Responses without a request, each by its id, and how many requests have no response."""
        rows = f"{_BESIDE} WHERE one.request = ? AND other.event IS NULL ORDER BY one.file, one.line"
        for file, line, response, _ in self.database.execute(rows, (0,)):
            aside = self._aside(file)
            aside.put(line, response.decode(), f"the response {from_json(response).id} has no request in this log")
            yield from aside.take()
        (waiting,) = self.database.execute(f"SELECT count(*) FROM ({rows})", (1,)).fetchone()
        if waiting:
            yield Note(
                f"{waiting:,} requests have no response, beside {self.pairs:,} that have: KServe's logger tells of "
                "answers with status 200 alone, and what came last may still be under way."
            )

    def _aside(self, file: int) -> Aside:
        return Aside(TABLE, self.files[file].name)


FORMAT: Final = Format(
    "cloudevents", "CloudEvents of KServe's logger: inference requests and responses, one a line", recognises, read
)
