"""The live store: what users did and were shown, durable once acknowledged, read back within a request."""

from __future__ import annotations

from liverank.store.erasures import Erasure, user_hash
from liverank.store.opening import open_store, store_exists
from liverank.store.protocol import LiveStore
from liverank.store.sqlite import SqliteStore

__all__ = ["Erasure", "LiveStore", "SqliteStore", "open_store", "store_exists", "user_hash"]
