"""Where the live store is: the path of a SQLite file, or the URL of a Redis, without the password."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator

from liverank.errors import ConfigError

VARIABLE: Final = "LIVERANK_STORE_URL"
"""Environment variable with the URL of the live store, password included."""
SCHEMES: Final = ("redis://", "rediss://", "unix://")
_USER: Final = re.compile(r"([\w.-]+)(?::|$)")
_ACCOUNT: Final = re.compile(r"(?<=://)[\w.-]+@")
_IN_QUERY: Final = re.compile(r"([?&])password=[^&]*(&?)")


def is_redis(place: str) -> bool:
    """Whether a live store's place is a Redis.

    >>> is_redis("redis://cache:6379/1"), is_redis("/live/live.db")
    (True, False)
    """
    return place.startswith(SCHEMES)


def without_password(url: str) -> str:
    """The URL as configurations, messages and manifests may show it; without more, where its password is not escaped.

    >>> without_password("rediss://anna:secret@cache:6380/1?password=secret&ssl_cert_reqs=none")
    'rediss://anna@cache:6380/1?ssl_cert_reqs=none'
    """
    scheme, colon, rest = url.partition("://")
    account, at, host = rest.rpartition("@")
    user = _USER.match(account)
    named = f"{user[1]}@" if at and user else ""
    return f"{scheme}{colon}{named}{_IN_QUERY.sub(_kept, host)}"


def _kept(found: re.Match[str]) -> str:
    return found[1] if found[2] else ""


def _holds_no_password(place: str) -> str:
    if is_redis(place) and without_password(place) != place:
        raise ValueError(f"it holds a password; give the whole URL in the environment variable {VARIABLE} instead")
    return place


StorePlace = Annotated[str, AfterValidator(_holds_no_password)]
"""A key of the configuration that says where a live store is; a URL with a password is refused and not repeated."""


def from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """The URL in the environment without its password; empty where there is none.

    Raises:
        ConfigError: what is there is no URL of a Redis.
    """
    url = environment.get(VARIABLE, "")
    if url and not is_redis(url):
        raise ConfigError(f"The environment variable {VARIABLE} holds no URL of a Redis.", "Write redis://..., say.")
    return without_password(url)


def with_password(place: str, environment: Mapping[str, str] = os.environ) -> str:
    """The URL to connect to: the environment's, where it names the same store (its user may be left out)."""
    known = environment.get(VARIABLE, "")
    shown = without_password(known).rstrip("/")
    anonymous = _ACCOUNT.sub("", shown)
    return known if known and place.rstrip("/") in (shown, anonymous) else place
