"""The live store in Redis: what it keeps and how long one waits for it."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class StoreConfig(Section):
    """Bounds of a live store in Redis; one in a SQLite file keeps everything."""

    history_events: int = Field(
        1000,
        ge=1,
        description="Latest events of a user that rankings can read in Redis; at least `serving.history_length`. The "
        "log keeps the others.",
    )
    history_days: float = Field(
        365, gt=0, description="Days after a user's last event for which Redis keeps the history that rankings read."
    )
    log_records: int = Field(
        0,
        ge=0,
        description="Interactions and impressions that the log in Redis keeps (0: all). Of those beyond, only what "
        "every reader of the log has read is removed, the oldest first.",
    )
    read_timeout_ms: float = Field(
        50, gt=0, description="Milliseconds that a ranking waits for a history in Redis before it goes on without."
    )
    write_timeout_ms: float = Field(
        1000, gt=0, description="Milliseconds that a write, or a page of the log, may take in Redis."
    )
