"""Which bearer token opens which door, and how often: the decision that REST and gRPC share."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from liverank.config import ServingConfig
from liverank.config.access import RateConfig
from liverank.errors import ServingError
from serving.metrics import Metrics

RANK: Final = "rank"
EVENTS: Final = "events"
ADMIN: Final = "admin"
ANY: Final = ""
"""Instead of a scope, for a door that each token opens."""
SCOPES_KEY: Final = "liverank.scopes"
"""Where the ASGI scope of a request that showed a token has that one's scopes."""
_DOORS: Final = {
    "/v1/rank": RANK,
    "/rerank": RANK,
    "/v1/rerank": RANK,
    "/v2/rerank": RANK,
    "/v1/events": EVENTS,
    "/v1/cloudevents": EVENTS,
}
_BEARER: Final = b"Bearer "


def scope_of(method: str, path: str) -> str:
    """The scope that a REST request needs; what is not known here needs `admin`.

    >>> scope_of("POST", "/v1/models/liverank:predict"), scope_of("DELETE", "/v1/users/anna")
    ('rank', 'admin')
    """
    if path == "/openapi.json":
        return ANY
    if method == "POST" and path.startswith(("/v1/models/", "/v2/models/")):
        return RANK
    return _DOORS.get(path, ADMIN) if method == "POST" else ADMIN


class TokenBucket:
    """Lets `burst` requests through at once and `per_second` in the long run."""

    def __init__(self, rate: RateConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left = float(rate.burst)
        self._at = clock()

    def take(self) -> float:
        """0 where a request may come now; else the seconds until one may, and nothing is taken."""
        now = self._clock()
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_second)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate.per_second
        self._left -= 1
        return 0.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token by its hash; `scopes` that it opens, `bucket` None where nobody counts."""

    name: str
    digest: bytes = field(repr=False)
    scopes: frozenset[str]
    bucket: TokenBucket | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request is not answered: status, one line, headers, and what it counts as in the metrics."""

    status: int
    message: str
    route: str
    headers: dict[str, str]


class Access:
    """All tokens of a server; without any, everybody may do everything."""

    def __init__(self, tokens: Sequence[Token], metrics: Metrics | None = None) -> None:
        self._tokens = tokens
        self._metrics = metrics

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def counted_in(self, metrics: Metrics) -> Access:
        """The same, which counts what it denies."""
        return Access(self._tokens, metrics)

    def denied(self, authorization: bytes, scope: str) -> Denied | None:
        """Why a request with this Authorization value may not have what needs `scope`; None where it may."""
        holder = self._holder(authorization)
        denied = _without(holder, scope) if holder is None or not _opens(holder, scope) else _over(holder)
        if denied is not None and self._metrics is not None:
            self._metrics.answered(denied.route, denied.status, 0.0)
            if holder is not None and denied.status == 429:
                self._metrics.limited.labels(holder.name).inc()
        return denied

    def scopes(self, authorization: bytes) -> frozenset[str]:
        """What the token of this Authorization value opens."""
        holder = self._holder(authorization)
        return frozenset() if holder is None else holder.scopes

    def _holder(self, authorization: bytes) -> Token | None:
        """Compares with every token, as hashes: the time tells neither which one was near nor how long any is."""
        scheme, _, value = authorization.partition(b" ")
        # The name of a scheme is the same in any case (RFC 9110, 11.1).
        given = hashlib.sha256(_BEARER + value if scheme.lower() == b"bearer" else authorization).digest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(given, token.digest):
                found = token
        return found


def _opens(token: Token, scope: str) -> bool:
    return scope == ANY or scope in token.scopes


def _without(token: Token | None, scope: str) -> Denied:
    if token is None:
        why = "This server needs the header Authorization: Bearer <token>, with the right token."
        return Denied(401, why, "without token", {"WWW-Authenticate": "Bearer"})
    return lacking(scope)


def lacking(scope: str, why: str = "") -> Denied:
    """What a token without a scope hears (RFC 6750); `why` it takes that one."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    message = f"This token has not the scope '{scope}' (serving.tokens){why}."
    return Denied(403, message, "without scope", {"WWW-Authenticate": challenge})


def _over(token: Token) -> Denied | None:
    wait = token.bucket.take() if token.bucket else 0.0
    if not wait:
        return None
    why = "This token's requests come faster than its rate allows (serving.rate)."
    return Denied(429, why, "over rate", {"Retry-After": str(math.ceil(wait))})


def access(config: ServingConfig) -> Access:
    """The tokens of a configuration, from the environment.

    Raises:
        ServingError: a variable of `serving.tokens` has none, or two have the same.
    """
    every = frozenset((RANK, EVENTS, ADMIN))
    given = [(config.token_variable, os.environ.get(config.token_variable, ""), every, config.rate)]
    for name, token in config.tokens.items():
        value = os.environ.get(token.variable, "")
        if not value:
            raise ServingError(
                f"The environment variable {token.variable} has no token (serving.tokens.{name}).",
                "Set it to a long random word, or take the token out of serving.tokens.",
            )
        given.append((name, value, frozenset(token.scopes), token.rate or config.rate))
    values = [value for _, value, _, _ in given if value]
    if len(set(values)) != len(values):
        raise ServingError("Two tokens are the same word.", "Give each variable of serving.tokens a word of its own.")
    return Access([_token(name, value, scopes, rate) for name, value, scopes, rate in given if value])


def _token(name: str, value: str, scopes: frozenset[str], rate: RateConfig) -> Token:
    digest = hashlib.sha256(_BEARER + value.encode()).digest()
    return Token(name, digest, scopes, TokenBucket(rate) if rate.per_second else None)
