"""The server with the small model, and two faults in it that nothing outside of a process can bring about.

Run as `tests.serving.dummy`. WORKSPACE/die names the stage of a write to the live store at which the process kills
itself with SIGKILL; WORKSPACE/clock holds the seconds by which all its clocks of the day are wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from liverank.store import SqliteStore, open_store
from serving import server, service
from serving.clock import utc_now
from tests.serving import dummy

BEFORE, WRITTEN, COMMITTED = "before the write", "between write and commit", "after the commit"
STAGES = (BEFORE, WRITTEN, COMMITTED)


class Faults:
    """What the files of a workspace ask for."""

    def __init__(self, workspace: Path) -> None:
        self._die = workspace / "die"
        self._clock = workspace / "clock"

    def at(self, stage: str) -> None:
        if self._die.exists() and self._die.read_text() == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    def late(self) -> float:
        return float(self._clock.read_text()) if self._clock.exists() else 0.0

    def opened(self, place: str | Path, **options: Any) -> Any:
        """The store, whose writes stop at the stages."""
        store: Any = open_store(place, clock=lambda: time.time() + self.late(), **options)
        append = store.append_batches

        def append_batches(batches: Any) -> list[int]:
            self.at(BEFORE)
            counts: list[int] = append(batches)
            self.at(COMMITTED)
            return counts

        store.append_batches = append_batches
        if isinstance(store, SqliteStore):
            # SQLite tells of a statement before it does it.
            store._writer.set_trace_callback(lambda statement: self.at(WRITTEN) if statement == "COMMIT" else None)
        return store


def main(workspace: Path, settings: list[str]) -> int:
    faults = Faults(workspace)
    patched: Any = server
    patched.open_store = faults.opened
    patched.RankingService = partial(service.RankingService, clock=lambda: utc_now() + timedelta(seconds=faults.late()))
    return dummy.main(workspace, settings)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
