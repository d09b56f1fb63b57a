"""Where the live store is: the path of a SQLite file, or the URL of a Redis, without the password."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator

VARIABLE: Final = "LIVERANK_STORE_URL"
"""Environment variable with the URL of the live store, password included."""
SCHEMES: Final = ("redis://", "rediss://", "unix://")
_SECRET: Final = "password"


def is_redis(place: str) -> bool:
    """Whether a live store's place is a Redis.

    >>> is_redis("redis://cache:6379/1"), is_redis("/live/live.db")
    (True, False)
    """
    return place.startswith(SCHEMES)


def without_password(url: str) -> str:
    """The URL as configurations, messages and manifests may show it.

    >>> without_password("rediss://anna:secret@cache:6380/1?ssl_cert_reqs=none&password=secret")
    'rediss://anna@cache:6380/1?ssl_cert_reqs=none'
    """
    parts = urlsplit(url)
    account, at, host = parts.netloc.rpartition("@")
    user = account.partition(":")[0]
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != _SECRET])
    return urlunsplit(parts._replace(netloc=f"{user}{at if user else ''}{host}", query=query))


def _holds_no_password(place: str) -> str:
    if is_redis(place) and (urlsplit(place).password is not None or _SECRET in dict(parse_qsl(urlsplit(place).query))):
        raise ValueError(f"it holds a password; give the whole URL in the environment variable {VARIABLE} instead")
    return place


StorePlace = Annotated[str, AfterValidator(_holds_no_password)]
"""A key of the configuration that says where a live store is; a URL with a password is refused and not repeated."""


def from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """The URL in the environment without its password; empty where there is none."""
    return without_password(environment.get(VARIABLE, ""))


def with_password(place: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL to connect to: the environment's, where it names the same store (its user may be left out)."""
    known = environment.get(VARIABLE, "")
    same = _anonymous(known) == _anonymous(place) and urlsplit(place).username in (None, urlsplit(known).username)
    return known if known and same else place


def _anonymous(url: str) -> str:
    parts = urlsplit(without_password(url))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/")))
