"""A connection to Redis that fails fast, says what is wrong without a password, and checks what Redis promises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from liverank.config.store_place import VARIABLE, with_password, without_password
from liverank.errors import ConfigError, StoreError
from liverank.store.circuit import CircuitBreaker, Unreachable

T = TypeVar("T")

_log = logging.getLogger(__name__)


class RedisLink:
    """Calls to one Redis, each of which ends within `seconds`; for any number of threads."""

    def __init__(self, url: str, seconds: float) -> None:
        """Makes the client; nothing is asked yet.

        Raises:
            ConfigError: the URL has no meaning, or redis-py is not installed.
        """
        redis = _library()
        self.place = without_password(url)
        self._errors = redis.exceptions
        self._circuit = CircuitBreaker()
        try:
            self._client: Any = redis.Redis.from_url(
                with_password(url),
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                # The client's own retries would wait seconds; whoever calls knows better what to do.
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
                protocol=2,
            )
        except (ValueError, TypeError):
            # Its text may hold the URL, and that the password.
            raise ConfigError(
                f"The live store's URL {self.place} cannot be read.", "Write redis://host:6379/0, say."
            ) from None

    def script(self, text: str) -> Callable[..., Any]:
        """A Lua script as a function of its arguments; it runs as a whole and alone."""
        script = self._client.register_script(text)
        return lambda *arguments: self.call(lambda client: script(args=arguments))

    def call(self, work: Callable[[Any], T]) -> T:
        """What `work` gets from the client.

        Raises:
            StoreError: Redis does not answer, or refuses.
        """
        return self._circuit.call(lambda: self._told(work))

    def close(self) -> None:
        """Closes every connection."""
        self._client.close()

    def _told(self, work: Callable[[Any], T]) -> T:
        errors = self._errors
        try:
            return work(self._client)
        except (errors.AuthenticationError, errors.NoPermissionError) as problem:
            hint = f"The environment variable {VARIABLE} has to hold its URL with user and password."
            raise StoreError(f"The live store {self.place} lets nobody in: {_text(problem)}.", hint) from None
        except (errors.ConnectionError, errors.TimeoutError, errors.ReadOnlyError, OSError) as problem:
            # A replica that was the master once goes on answering: what is connected to it has to connect anew.
            self._client.connection_pool.disconnect(inuse_connections=False)
            raise Unreachable(f"The live store {self.place} cannot be reached: {_text(problem)}.") from None
        except errors.RedisError as problem:
            raise StoreError(f"The live store {self.place} refuses: {_text(problem)}.") from None


def _library() -> Any:
    try:
        import redis
        import redis.backoff
        import redis.exceptions
        import redis.retry
    except ModuleNotFoundError as problem:
        raise ConfigError(
            f"A live store in Redis needs the package {problem.name}, which is not installed.",
            "Install liverank[redis].",
        ) from problem
    return redis


def _text(problem: Exception) -> str:
    return " ".join(str(problem).split()).rstrip(".") or type(problem).__name__


def warn_of_weak_promises(link: RedisLink) -> None:
    """Logs what Redis' settings mean for acknowledged records, where they promise less than a file on disk does."""
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    try:
        found = link.call(lambda client: {name: client.config_get(name).get(name, "") for name in names})
    except Unreachable:
        raise
    except StoreError:
        _log.warning("The live store %s does not tell its settings: see that it writes to disk.", link.place)
        return
    for warning in weak_promises(*(found[name] for name in names)):
        _log.warning("The live store %s: %s", link.place, warning)


def weak_promises(appendonly: str, appendfsync: str, maxmemory: str, policy: str) -> Sequence[str]:
    """What may be lost under these settings of Redis.

    >>> weak_promises("yes", "always", "0", "noeviction")
    []
    """
    found = []
    if appendonly != "yes":
        found.append("appendonly is off: acknowledged records since the last snapshot are lost when it ends.")
    elif appendfsync != "always":
        lost = "a second or two of" if appendfsync == "everysec" else "many"
        found.append(f"appendfsync is {appendfsync}: a crash of its machine may lose {lost} acknowledged records.")
    if maxmemory not in ("", "0") and policy != "noeviction":
        found.append(f"maxmemory-policy is {policy}: it may remove records or histories; set noeviction.")
    return found
