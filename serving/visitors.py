"""Requests that name no user: whose their impression is."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

ANONYMOUS: Final = "anonymous-"
"""Begins the id of a visitor; 32 hexadecimal digits follow."""


def visitor(session_id: str | None) -> str:
    """The user id of a request that names no user: one for each session, and without a session one for each request.

    So visitors share no history, and whatever has users as its unit (histories, variants of an experiment, training)
    treats each as a user of its own. A session's id is the start of its SHA-256, the same in every process; events
    that carry it count for the session's next requests.

    >>> visitor("s-17") == visitor("s-17"), visitor(None) == visitor(None)
    (True, False)
    """
    name = (
        hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()[:32] if session_id else uuid.uuid4().hex
    )
    return ANONYMOUS + name
