"""The study: where trials are kept, who holds it, and how one that was cut off goes on.

A study in a file (journal or SQLite) is held by one process on one machine, so a trial that runs when the study is
opened was cut off; a database server may be shared, and there heartbeats tell. Either way the trial counts as failed
and its settings are tried again.
"""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from liverank.errors import ConfigError, LiverankError
from liverank.tuning.sampling import AGAIN_OF

FINGERPRINT: Final = "made_with"
DEFAULT: Final = "default"
"""User attribute of the trial that has the present settings."""
ERROR: Final = "error"
HEARTBEAT_SECONDS: Final = 30
SQLITE: Final = "sqlite:///"


class TuningError(LiverankError):
    """A study cannot be opened, or is not the one that this call would go on with."""


@dataclass(frozen=True)
class Place:
    """Where a study is kept."""

    name: str
    storage: str
    """A file, or a URL."""

    @property
    def file(self) -> Path | None:
        """The file that only one process may hold; None for a database server."""
        if self.storage.startswith(SQLITE):
            return Path(self.storage.removeprefix(SQLITE))
        return None if "://" in self.storage else Path(self.storage)

    def open(self) -> BaseStorage:
        """The storage.

        Raises:
            TuningError: it cannot be reached or written.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            try:
                return self._open()
            except Exception as problem:
                said = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
                raise TuningError(
                    f"The study's storage {_without_password(self.storage)} cannot be used: {said}.",
                    "Set tuning.storage to a file, or to the URL of a database.",
                ) from problem

    def _open(self) -> BaseStorage:
        from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
        from optuna.storages.journal import JournalFileBackend

        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        if "://" not in self.storage:
            return JournalStorage(JournalFileBackend(self.storage))
        if self.file is not None:
            return RDBStorage(self.storage)
        retry = RetryHeartbeatStaleTrialCallback()
        return RDBStorage(self.storage, heartbeat_interval=HEARTBEAT_SECONDS, heartbeat_stale_trial_callback=retry)


@contextmanager
def held(place: Place) -> Iterator[None]:
    """The study for this process alone, where it is in a file; workers of a former holder have ended.

    Raises:
        TuningError: another process holds it, or its folder cannot be written.
    """
    if place.file is None:
        yield
        return
    with _lock(place.file, ".run") as running, _lock(place.file, ".workers") as workers:
        try:
            fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TuningError(
                f"Another process is at work on the study {place.name}.", "Wait for it to end, or name another study."
            ) from None
        # Workers end at once when who started them is gone; they hold this one until then.
        fcntl.flock(workers, fcntl.LOCK_EX)
        fcntl.flock(workers, fcntl.LOCK_UN)
        if "://" not in place.storage:
            _mend_journal(place.file)
        yield


@contextmanager
def at_work(place: Place) -> Iterator[None]:
    """What a worker holds while it lives."""
    if place.file is None:
        yield
        return
    with _lock(place.file, ".workers") as workers:
        fcntl.flock(workers, fcntl.LOCK_SH)
        yield


def _lock(file: Path, kind: str) -> Any:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.with_name(file.name + kind).open("a", encoding="utf-8")
    except OSError as problem:
        raise TuningError(
            f"The study's folder {file.parent} cannot be written: {problem.strerror}.",
            "Set tuning.storage.",
        ) from problem


def _mend_journal(file: Path) -> None:
    """Takes away what a process that was killed while it wrote has left: half a line, and the lock of the journal."""
    file.with_name(file.name + ".lock").unlink(missing_ok=True)
    if not file.exists():
        return
    with file.open("rb+") as journal:
        text = journal.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            journal.truncate(whole)


def open_study(place: Place, made_with: Mapping[str, str], sampler: Any, pruner: Any) -> optuna.Study:
    """The study called so, made if need be.

    Args:
        place: where it is.
        made_with: what every trial of it must share (data, space, ...) -> hash.
        sampler: who proposes.
        pruner: who ends trials early.

    Raises:
        TuningError: the study was made with something else, or the storage cannot be used.
    """
    storage = place.open()
    study = optuna.create_study(
        storage=storage,
        study_name=place.name,
        direction="maximize",
        load_if_exists=True,
        sampler=sampler,
        pruner=pruner,
    )
    before = study.user_attrs.get(FINGERPRINT)
    if before is None:
        study.set_user_attr(FINGERPRINT, dict(made_with))
    elif differing := [name for name, value in made_with.items() if before.get(name) != value]:
        raise TuningError(
            f"The study {place.name} was made with other {', '.join(differing)}: its trials cannot be compared.",
            "Leave tuning.study empty, or name a new one.",
        )
    return study


def take_up(study: optuna.Study, place: Place) -> int:
    """Tries again what was cut off; gives how many trials that are. The study is `held`."""
    if place.file is None:
        return 0
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs[AGAIN_OF] for trial in trials if AGAIN_OF in trial.user_attrs}
    cut_off = [trial for trial in trials if _was_cut_off(trial) and trial.number not in again]
    for trial in cut_off:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
        marks = {name: trial.user_attrs[name] for name in (DEFAULT,) if name in trial.user_attrs}
        wanted = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        study.enqueue_trial(wanted, user_attrs={**marks, AGAIN_OF: trial.number})
    return len(cut_off)


def _was_cut_off(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING or (trial.state == TrialState.FAIL and ERROR not in trial.user_attrs)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with an outcome: done, or stopped early."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def done(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that were judged on all folds, by number."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial with the highest value, the earliest of equals; so nothing is changed for no gain."""
    return max(trials, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def storage_of(configured: str, folder: Path) -> str:
    """The storage in force: what is configured, or a journal in the study's folder.

    Raises:
        ConfigError: a URL whose database is not one.
    """
    if not configured:
        return str(folder / "study.journal")
    if configured.startswith("sqlite:") and not configured.startswith(SQLITE):
        raise ConfigError(f"tuning.storage is {configured}.", "Write sqlite:///file, three slashes and a path.")
    return configured if "://" in configured else str(Path(configured).expanduser().absolute())


def _without_password(place: str) -> str:
    scheme, separator, rest = place.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else place
