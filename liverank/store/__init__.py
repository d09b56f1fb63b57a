"""The live store: what users did and were shown, durable once acknowledged, read back within a request."""

from __future__ import annotations

from liverank.store.erasures import Erasure, user_hash
from liverank.store.sqlite import SqliteStore, open_store

__all__ = ["Erasure", "SqliteStore", "open_store", "user_hash"]
