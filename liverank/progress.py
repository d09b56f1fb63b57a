"""Progress of long work: structured lines that the console, the demo and a pod's log can all show.

A step writes JSON lines to the file named by the environment variable `LIVERANK_PROGRESS` (the local pipeline runner
sets it and draws from it); without it, plain lines go to standard error, which is what a pod's log wants.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

VARIABLE = "LIVERANK_PROGRESS"
SECONDS_BETWEEN_LINES = 1.0
_COUNTS = ("stage", "done", "total")
_SILENT: ContextVar[bool] = ContextVar("silent", default=False)


def report(event: str, **facts: object) -> None:
    """Writes one progress line: `event` is `start`, `advance`, `note` or `end`; `facts` are JSON values."""
    path = os.environ.get(VARIABLE)
    if _SILENT.get():
        return
    if path:
        line = json.dumps({"event": event, "time": time.time(), **facts}, ensure_ascii=False, default=str)
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    elif event != "advance" or facts.get("total"):
        print(_plain(event, facts), file=sys.stderr, flush=True)  # noqa: T201


def note(text: str, **facts: object) -> None:
    """Says one finding of the current step, in words a user reads ('set aside 1,454 of 541,909 rows')."""
    report("note", text=text, **facts)


@contextmanager
def silenced() -> Iterator[None]:
    """Says nothing while it lasts: for work whose outcome alone is news, or that another process tells of."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


@dataclass
class Stage:
    """A piece of work under way; `advance` reports at most once a second."""

    name: str
    total: float | None = None
    done: float = 0.0
    _last: float = field(default=0.0, repr=False)

    def advance(self, amount: float = 1.0, **facts: object) -> None:
        """Counts `amount` more units as done; a fact that is a function is only called when a line is written."""
        self.done += amount
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            values = {name: fact() if callable(fact) else fact for name, fact in facts.items()}
            report("advance", stage=self.name, done=self.done, total=self.total, **values)


@contextmanager
def stage(name: str, total: float | None = None) -> Iterator[Stage]:
    """Reports the start, the progress and the duration of a named piece of work; `total` in its own units."""
    started = time.monotonic()
    report("start", stage=name, total=total)
    yield Stage(name, total)
    report("end", stage=name, seconds=round(time.monotonic() - started, 3))


def _plain(event: str, facts: dict[str, object]) -> str:
    if event == "note":
        return str(facts.get("text", ""))
    if event == "advance":
        more = "".join(f", {name.replace('_', ' ')} {value}" for name, value in facts.items() if name not in _COUNTS)
        return f"{facts['stage']}: {facts['done']:,.0f} of {facts['total']:,.0f}{more}"
    if event == "end":
        return f"{facts['stage']}: done in {facts['seconds']} s"
    return f"{facts['stage']} ..."
