"""What the live store remembers of an erased user: no more than copies of its log need to forget them too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Erasure:
    """One erased user; whoever copies the log drops the user's records up to `sequence`, and keeps later ones."""

    number: int
    """Counts erasures, from 1; a copy remembers the last that it has applied."""
    user: str
    """`user_hash` of the user's id."""
    sequence: int
    """The log's cursor at the erasure: a user who comes back has only later records."""


def user_hash(user_id: str) -> str:
    """SHA-256 of a user's id as 64 hex digits."""
    return hashlib.sha256(user_id.encode()).hexdigest()
