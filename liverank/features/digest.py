"""A short name for a history: two histories with the same name are the same events in the same order."""

from __future__ import annotations

import hashlib
from array import array

from liverank.ranking.protocol import History

_SEPARATOR = "\x1f"
"""Stands in no sane id; one that holds it can only make two digests equal that a human would call different."""


def history_digest(history: History) -> str:
    """`length:hash` of item ids, types and times (to the microsecond), e.g. `50:9f86d081884c7d65`.

    Serving logs it with each impression, so that what a ranking saw can be compared with what the log says later.
    """
    digest = hashlib.blake2b(_SEPARATOR.join(history.item_ids).encode(), digest_size=8)
    digest.update(_SEPARATOR.join(history.types).encode())
    digest.update(array("q", [round(time * 1e6) for time in history.timestamps]).tobytes())
    return f"{len(history)}:{digest.hexdigest()}"


def digest_length(digest: str) -> int:
    """Events in the history that a digest names; -1 where it names none."""
    length = digest.partition(":")[0]
    return int(length) if length.isdigit() else -1
