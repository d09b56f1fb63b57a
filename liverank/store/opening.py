"""Opens a live store where it is: a file, or a Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from liverank.config.store import StoreConfig
from liverank.config.store_place import is_redis
from liverank.store.protocol import LiveStore


def open_store(
    place: str | Path, clock: Callable[[], float] = time.time, bounds: StoreConfig | None = None
) -> LiveStore:
    """Opens the live store at `place`, made when it does not exist.

    Args:
        place: path of a SQLite file, or URL of a Redis; its password is taken from the environment.
        clock: gives arrival times in epoch seconds.
        bounds: what a store in Redis keeps; default the configuration's defaults. Who only reads needs none.

    Raises:
        DataError: the file cannot be opened, or either is something else than a live store of this version.
        ConfigError: the URL has no meaning, or the client for Redis is not installed.
        StoreError: the Redis does not answer.
    """
    if is_redis(str(place)):
        from liverank.store.redis_store import RedisStore

        return RedisStore(str(place), clock, bounds or StoreConfig())
    from liverank.store.sqlite import SqliteStore

    return SqliteStore(Path(place).expanduser(), clock)


def store_exists(place: str | Path) -> bool:
    """Whether there is a live store, as far as one sees without opening it: a Redis always has room for one."""
    path = Path(place).expanduser()
    return is_redis(str(place)) or (path.is_file() and path.stat().st_size > 0)
