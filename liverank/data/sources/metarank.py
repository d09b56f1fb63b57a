"""Reads Metarank's event log (item, user, ranking and interaction events as JSON lines) and the RankLens data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data.locations import Location
from liverank.data.sources.folder import files_of, some_of
from liverank.data.sources.latest import Latest
from liverank.data.sources.lines import Aside
from liverank.data.sources.parts import Format, Note, Part, Parts
from liverank.data.sources.ranklens import kind_of, read_movies, read_rankings
from liverank.data.sources.rows import Pairs, Rows, begins, instant_of, objects, text_of
from liverank.errors import DataError

ROWS: Final = 50_000
EVENTS: Final = ("item", "metadata", "user", "ranking", "interaction")
IMPRESSION: Final = (c.IMPRESSION_ID, c.USER_ID, c.TIMESTAMP, c.SHOWN, c.SESSION_ID, c.CONTEXT)
INTERACTION: Final = (
    c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.TYPE, c.TIMESTAMP, c.IMPRESSION_ID, c.SESSION_ID, c.CONTEXT,
)  # fmt: skip
TABLES: Final = {"item": "items", "metadata": "items", "user": "users", "ranking": "impressions"}


class Refusal(ValueError):
    """Why an event is no record of the contract."""


def recognises(config: SourceConfig) -> bool:
    """Whether a file of the source begins with an event of Metarank, or belongs to RankLens."""
    return any(_is_events(file) or kind_of(file) for file in some_of(config))


def _is_events(file: Location) -> bool:
    return begins(file, lambda event: event.get("event") in EVENTS and "timestamp" in event)


def read(config: SourceConfig) -> Parts:
    """Rankings as impressions, interactions as events; of each field of an item or user, the latest value.

    Raises:
        DataError: there are no events.
    """
    files = files_of(config)
    events = [file for file in files if _is_events(file)]
    kinds = {str(file): kind_of(file) for file in files if file not in events}
    rest = [file.name for file in files if file not in events and not kinds[str(file)]]
    if not events and "rankings" not in kinds.values():
        raise DataError(
            f"{config.source} holds no events of Metarank.",
            'Expected JSON lines such as {"event": "ranking", "id": "r1", "timestamp": "1599391467000", "items": []}.',
        )
    if rest:
        yield Note(f"Not read, for they hold no events: {', '.join(rest)}.")
    yield from _Events().read(events)
    for file in files:
        if kinds.get(str(file)):
            yield from (read_movies if kinds[str(file)] == "movies" else read_rankings)(file)


@dataclass
class _Events:
    """Reads events in the order of the files; items and users are known only at the end."""

    items: Latest = field(default_factory=lambda: Latest("items"))
    users: Latest = field(default_factory=lambda: Latest("users"))
    by_session: int = 0
    labelled: int = 0

    def read(self, files: list[Location]) -> Iterator[Part]:
        for file in files:
            yield from self._file(file)
        yield from self.items.take()
        yield from self.users.take()
        if self.by_session:
            yield Note(f"{self.by_session:,} events name a session and no user: the user is `session:` and its id.")
        if self.labelled:
            yield Note(f"{self.labelled:,} rankings have labels on their items, which the contract has no place for.")

    def _file(self, file: Location) -> Iterator[Part]:
        rows = {"ranking": Rows("impressions", IMPRESSION, file.name)}
        rows["interaction"] = Rows("interactions", INTERACTION, file.name)
        broken = Aside("", file.name)
        asides = {name: Aside(TABLES.get(name, "interactions"), file.name) for name in EVENTS}
        for found in objects(file, broken, ROWS):
            for line, text, event in found:
                kind = event.get("event")
                try:
                    self._event(kind, event, line, rows)
                except Refusal as problem:
                    asides.get(str(kind), broken).put(line, text, str(problem))
            for aside in (broken, *asides.values()):
                yield from aside.take()
            for table in rows.values():
                yield from table.take()

    def _event(self, kind: Any, event: dict[str, Any], line: int, rows: dict[str, Rows]) -> None:
        if kind not in EVENTS:
            raise Refusal(f"event is {kind!r}, not one of item, user, ranking, interaction")
        at = instant_of(event.get("timestamp"), "ms")
        if at is None:
            raise Refusal("timestamp is neither milliseconds since 1970 nor an ISO time with a zone")
        fields = _fields(event.get("fields"))
        if kind in ("item", "metadata"):
            self.items.learn(_required(event, "item"), fields, at)
        elif kind == "user":
            self.users.learn(_required(event, "user"), fields, at)
        elif kind == "ranking":
            shown, session = self._shown(event), text_of(event.get("session")) or None
            rows[kind].add(line, _required(event, "id"), self._user(event), at, shown, session, fields)
        else:
            session, ranking = (text_of(event.get(name)) or None for name in ("session", "ranking"))
            parts = (_required(event, "item"), _required(event, "type"))
            rows[kind].add(line, _required(event, "id"), self._user(event), *parts, at, ranking, session, fields)

    def _user(self, event: dict[str, Any]) -> str:
        user = text_of(event.get("user"))
        if user:
            return user
        session = text_of(event.get("session"))
        if not session:
            raise Refusal("names neither a user nor a session")
        self.by_session += 1
        return f"session:{session}"

    def _shown(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        items = event.get("items")
        if not isinstance(items, list) or not items:
            raise Refusal("ranking has no items")
        if not all(isinstance(item, dict) and text_of(item.get("id")) for item in items):
            raise Refusal("an item of the ranking has no id")
        self.labelled += any(item.get("label") is not None for item in items)
        return [
            {c.ITEM_ID: text_of(item["id"]), c.POSITION: place, c.SCORE: _relevancy(item)}
            for place, item in enumerate(items, 1)
        ]


def _relevancy(item: dict[str, Any]) -> float | None:
    score = item.get("relevancy")
    if score is None:
        found = [pair for pair in item.get("fields") or [] if pair.get("name") == "relevancy"]
        score = found[0].get("value") if found else None
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None


def _fields(fields: Any) -> Pairs:
    if fields is None:
        return []
    if not isinstance(fields, list) or not all(isinstance(field, dict) and "name" in field for field in fields):
        raise Refusal("fields is no list of names and values")
    pairs = [(text_of(field["name"]), text_of(field.get("value"))) for field in fields]
    return list({name: text for name, text in pairs if text}.items())


def _required(event: dict[str, Any], name: str) -> str:
    text = text_of(event.get(name))
    if not text:
        raise Refusal(f"{name} is missing")
    return text


FORMAT: Final = Format(
    "metarank", "Metarank: item, user, ranking and interaction events as JSON lines", recognises, read
)
