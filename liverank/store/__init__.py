"""The live store: what users did and were shown, durable once acknowledged, read back within a request."""

from __future__ import annotations

from liverank.store.sqlite import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
