"""The live store in Redis: many servers on many machines share it."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from liverank.config.store import StoreConfig
from liverank.errors import DataError, StoreError
from liverank.events import Interaction, Item, Record, encode_record, to_utc
from liverank.ranking.protocol import History
from liverank.store import redis_scripts as scripts
from liverank.store.erasures import Erasure, user_hash
from liverank.store.records import decoded, key_of
from liverank.store.redis_link import RedisLink, warn_of_weak_promises

VERSION: Final = "1"
PREFIX: Final = "liverank:"
PAGE: Final = 1000
"""Records read at once in an export, so that no reader keeps the others waiting."""
REMIND_SECONDS: Final = 600.0
_SEQUENCE_DIGITS: Final = 16
_DAY_MS: Final = 86_400_000

_log = logging.getLogger(__name__)
_RECORD = msgspec.msgpack.Decoder(tuple[str, str, str, str])
_EVENT = msgspec.msgpack.Decoder(tuple[str, str])

Arrival = tuple[int, float, Record]


class RedisStore:
    """Records in arrival order and each user's history in one Redis database; safe for many threads and processes.

    A write is one script, which Redis runs alone: all of it or nothing, and no reader sees a record before those that
    came before it. What an acknowledged record survives is what `appendonly` and `appendfsync` promise.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time, bounds: StoreConfig | None = None) -> None:
        """Connects, and logs what this Redis does not promise.

        Raises:
            ConfigError: the URL has no meaning, or the client is not installed.
            StoreError: Redis does not answer.
            DataError: it holds a live store of another version.
        """
        self._bounds = bounds or StoreConfig()
        self._clock = clock
        self._reminded = -math.inf
        # A ranking waits for its history alone; a slow write must not cost it that, nor a slow read refuse an event.
        self._quick = RedisLink(url, self._bounds.read_timeout_ms / 1000)
        self._link = RedisLink(url, self._bounds.write_timeout_ms / 1000)
        script = self._link.script
        self._open, self._append, self._page = script(scripts.OPEN), script(scripts.APPEND), script(scripts.PAGE)
        self._versions, self._user, self._erase = script(scripts.VERSIONS), script(scripts.USER), script(scripts.ERASE)
        self._arrived = script(scripts.ARRIVED)
        version = self._opened()[0]
        if version != VERSION:
            raise DataError(f"{self.place} holds a live store of version {version}, not {VERSION}.", "Name another.")
        warn_of_weak_promises(self._link)

    @property
    def place(self) -> str:
        """The URL without password."""
        return self._link.place

    def append(self, records: Sequence[Record]) -> int:
        """Writes records, all or none, and returns how many said something new."""
        return self.append_batches([records])[0]

    def append_batches(self, batches: Sequence[Sequence[Record]]) -> list[int]:
        """Several appends in one script; the number of new records of each."""
        told: list[str | bytes] = []
        for batch in batches:
            for record in batch:
                told += _arguments(record)
        bounds = self._bounds
        milliseconds = int(bounds.history_days * _DAY_MS)
        head = (bounds.history_events, milliseconds, bounds.log_records, repr(self._clock()))
        new, waiting = self._append(PREFIX, *head, *told)
        if waiting:
            self._remind(waiting)
        counts = iter(new)
        return [sum(next(counts) for _ in batch) for batch in batches]

    def history(self, user_id: str, n: int, before: float | None = None) -> History:
        """The latest `n` events of a user by (timestamp, arrival), oldest first, of those that Redis keeps."""
        most = "+inf" if before is None else f"({before!r}"
        key = f"{PREFIX}history:{user_id}"
        rows = self._quick.call(lambda client: client.zrevrangebyscore(key, most, "-inf", 0, n, withscores=True))
        if not rows:
            return History()
        rows.reverse()
        items, types = zip(*(_EVENT.decode(member[_SEQUENCE_DIGITS:]) for member, _ in rows), strict=True)
        return History(items, types, tuple(float(at) for _, at in rows))

    def export(self, since: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records after the cursor `since` in arrival order, each with its own cursor; at most `limit`."""
        return ((sequence, record) for sequence, _, record in self.export_arrivals(since, limit))

    def export_arrivals(self, since: int = 0, limit: int | None = None) -> Iterator[Arrival]:
        """As `export`, with the epoch seconds at which each record arrived between its cursor and itself."""
        left = limit
        while left is None or left > 0:
            rows = self._page(PREFIX, since, PAGE if left is None else min(PAGE, left))
            if not rows[0]:
                return
            yield from _arrivals(rows)
            since = int(rows[0][-1])
            left = None if left is None else left - len(rows[0])

    def cursor_before(self, arrived: float) -> int:
        """A cursor before the first record that arrived at that time or later; Redis reads what precedes it."""
        since, found = 0, 0
        while not found:
            last, found = self._arrived(PREFIX, since, repr(float(arrived)))
            since = int(last)
        return since - 1 if found > 0 else self.cursor()

    def cursor(self) -> int:
        """Sequence number of the latest record ever written (0: none), also when it has been erased since."""
        return self._meta("sequence")

    def identity(self) -> str:
        """16 hex digits that no other live store has; new ones once Redis has lost what it held."""
        return self._opened()[1]

    def erasures(self) -> list[Erasure]:
        """Every erased user, in the order of the (latest) erasure of each."""
        found: dict[bytes, bytes] = self._link.call(lambda client: client.hgetall(f"{PREFIX}erased"))
        pairs = ((user.decode(), value.split()) for user, value in found.items())
        erasures = [Erasure(int(number), user, int(cursor)) for user, (number, cursor) in pairs]
        return sorted(erasures, key=lambda erasure: erasure.number)

    def items(self, since: int = 0) -> list[Item]:
        """The latest version of every item that came or changed after the cursor `since`, in arrival order."""
        found: dict[str, Item] = {}
        while (rows := self._versions(PREFIX, since, PAGE))[0]:
            for _, _, record in _arrivals(rows):
                if isinstance(record, Item):
                    # One that is replaced between two pages comes again, at its new place.
                    found.pop(record.item_id, None)
                    found[record.item_id] = record
            since = int(rows[0][-1])
        return list(found.values())

    def user(self, user_id: str) -> list[Record]:
        """Everything the log holds about a user, in arrival order."""
        return [record for _, _, record in self.user_arrivals(user_id)]

    def user_arrivals(self, user_id: str) -> list[Arrival]:
        """As `user`, each record with its cursor and the epoch seconds at which it arrived."""
        return list(_arrivals(self._user(PREFIX, user_id)))

    def first_arrival(self, user_id: str) -> float | None:
        """Epoch seconds at which the oldest record that the log holds about a user arrived; None for an unknown one."""
        return min((arrived for _, arrived, _ in self.user_arrivals(user_id)), default=None)

    def erase(self, user_id: str) -> int:
        """Deletes everything about a user and returns how many records that were.

        Redis is asked to write its append-only file anew, which drops the user's records there too. What stays is an
        `Erasure`, by which copies of the log learn of it.
        """
        erased = int(self._erase(PREFIX, user_id, user_hash(user_id)))
        if erased:
            try:
                self._link.call(lambda client: client.bgrewriteaof())
            except StoreError as problem:
                _log.warning("An erased user's records stay in Redis' append-only file until BGREWRITEAOF: %s", problem)
        return erased

    def acknowledge(self, reader: str, cursor: int) -> None:
        """Says that `reader` has what it needs of the log up to `cursor`."""
        self._link.call(lambda client: client.hset(f"{PREFIX}readers", reader, cursor))

    def trimmed(self) -> int:
        """Cursor up to which interactions and impressions were removed from the log; 0: it is whole."""
        return self._meta("trimmed")

    def close(self) -> None:
        """Closes every connection."""
        self._quick.close()
        self._link.close()

    def _opened(self) -> tuple[str, str]:
        version, identity = self._open(PREFIX, VERSION, secrets.token_hex(8))
        return version.decode(), identity.decode()

    def _meta(self, field: str) -> int:
        return int(self._link.call(lambda client: client.hget(f"{PREFIX}meta", field)) or 0)

    def _remind(self, waiting: int) -> None:
        now = time.monotonic()
        if now - self._reminded < REMIND_SECONDS:
            return
        self._reminded = now
        readers = self._link.call(lambda client: client.hgetall(f"{PREFIX}readers"))
        behind = ", ".join(f"{name.decode()} at {int(at)}" for name, at in sorted(readers.items())) or "none so far"
        _log.warning(
            "The log of %s holds %d records more than store.log_records, which not all its readers have read: %s.",
            self.place, waiting, behind,
        )  # fmt: skip


def _arguments(record: Record) -> tuple[str | bytes, ...]:
    """The six arguments of a record in `scripts.APPEND`."""
    record = to_utc(record)
    kind, key, user_id = key_of(record)
    user = user_id or ""
    packed = msgspec.msgpack.encode((kind, key, user, encode_record(record).decode()))
    if not isinstance(record, Interaction):
        return kind, key, user, packed, "", ""
    event = msgspec.msgpack.encode((record.item_id, record.type))
    return kind, key, user, packed, repr(record.timestamp.timestamp()), event


def _arrivals(rows: Any) -> Iterator[Arrival]:
    """Sequences and records as scripts return them."""
    for number, value in zip(*rows, strict=True):
        arrived, _, packed = value.partition(b" ")
        yield int(number), float(arrived), decoded(int(number), _RECORD.decode(packed)[3])
