"""What the monitor remembers between looks, and the lock that lets only one monitor at it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from liverank.errors import ConfigError, DataError, LiverankError
from monitoring.decision import write_whole


class MonitorBusy(LiverankError):
    """Another monitor is at work in the same workspace."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining run that was asked for."""

    run_id: str
    time: datetime
    started: bool
    failed: bool = False
    """It could not be started, or ran and failed; it costs as much of the budget as one that ended well."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The monitor's memory."""

    since: datetime
    """When monitoring of this workspace began: the schedule counts from here until the first run."""
    cursor: int = 0
    """Everything in the log up to here has been judged or passed over."""
    attempts: list[Attempt] = []
    pending: str = ""
    """Id of a decision to retrain whose trigger has not answered yet: it is asked again after a restart."""


def load_state(folder: Path, now: datetime) -> State:
    """The state in `folder`, or a new one that begins now.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "state.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State(since=now)
    except (OSError, msgspec.DecodeError) as problem:
        raise DataError(
            f"The monitor's state {path} cannot be read: {problem}.", "Remove it: the log is then judged afresh."
        ) from problem


def save_state(folder: Path, state: State) -> None:
    """Writes the state durably."""
    write_whole(folder / "state.json", msgspec.json.format(msgspec.json.encode(state), indent=2))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the workspace's monitor lock; it goes with the process, however that ends.

    Raises:
        MonitorBusy: another process holds it.
        ConfigError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(
            f"The workspace {folder.parent} cannot be written: {problem.strerror}.", "Set workspace to another folder."
        ) from problem
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise MonitorBusy(
                f"Another monitor (process {owner}) is at work in {folder.parent}.", "Wait for it, or stop it."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
