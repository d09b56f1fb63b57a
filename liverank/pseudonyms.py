"""Keyed pseudonyms: what the live store knows users by, where the configuration names a key."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from liverank.errors import ConfigError
from liverank.events import Item, Record

BITS: Final = 128
"""Of a pseudonym: two of 2**32 users share one with a chance of about 2**-65."""
SHORTEST_KEY: Final = 16
"""Bytes that a key must have."""


class Pseudonyms:
    """HMAC-SHA-256 (RFC 2104) of ids under a secret key, cut to 128 bits, as 32 hex digits.

    The same id has the same pseudonym under the same key, in every process; without the key nobody can tell whether a
    pseudonym is a certain user's, as one could with a mere hash by trying all ids. Users and sessions have names of
    their own: an id that is both does not tie them. Without a key, everything keeps its id.
    """

    def __init__(self, key: bytes = b"") -> None:
        """Takes the key; empty for no pseudonyms."""
        self._key = key

    def __bool__(self) -> bool:
        return bool(self._key)

    def user(self, user_id: str) -> str:
        """What a user goes by in the store."""
        return self._named(b"user", user_id)

    def session(self, session_id: str | None) -> str | None:
        """What a session goes by; none and the empty one stay what they are."""
        return self._named(b"session", session_id) if session_id else session_id

    def records(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records under the pseudonyms of their users and sessions; items are nobody's."""
        return [record if isinstance(record, Item) else self._record(record) for record in records] if self else records

    def returned(self, records: Sequence[Record], user_id: str) -> Sequence[Record]:
        """A user's records from the store under the id that the caller knows; sessions cannot be turned back."""
        return [self._restored(record, user_id) for record in records] if self else records

    def known(self) -> Pseudonyms:
        """What takes users by their pseudonyms."""
        return KnownPseudonyms(self._key)

    def signing_key(self) -> bytes:
        """A key for signatures, from which neither a pseudonym nor the key itself can be had; empty without a key."""
        return hmac.digest(self._key, b"signing", hashlib.sha256) if self._key else b""

    def _record(self, record: Any) -> Any:
        changed: dict[str, Any] = {"user_id": self.user(record.user_id)}
        if hasattr(record, "session_id"):
            changed["session_id"] = self.session(record.session_id)
        return structs.replace(record, **changed)

    def _restored(self, record: Any, user_id: str) -> Any:
        return structs.replace(record, user_id=user_id) if hasattr(record, "user_id") else record

    def _named(self, kind: bytes, name: str) -> str:
        if not self._key:
            return name
        return hmac.digest(self._key, kind + b"\0" + name.encode(errors="surrogatepass"), hashlib.sha256)[
            : BITS // 8
        ].hex()


class KnownPseudonyms(Pseudonyms):
    """The same key, for whoever knows users by their pseudonyms: those stay as they are, sessions get theirs."""

    def user(self, user_id: str) -> str:
        """The pseudonym itself."""
        return user_id


def pseudonyms(variable: str, environment: Mapping[str, str] = os.environ) -> Pseudonyms:
    """The pseudonyms of the key in an environment variable; none where no variable is named.

    Raises:
        ConfigError: the variable has no key, or one that can be guessed.
    """
    if not variable:
        return Pseudonyms()
    key = environment.get(variable, "").encode()
    if len(key) < SHORTEST_KEY:
        raise ConfigError(
            f"The environment variable {variable} (serving.pseudonym_variable) has no key of {SHORTEST_KEY} bytes.",
            "Set it to a long random word, the same for every server of the store, and keep it.",
        )
    return Pseudonyms(key)
