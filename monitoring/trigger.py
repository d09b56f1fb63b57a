"""What asks for a retraining run, and what it must promise.

The monitor knows no pipeline: it hands `Facts` to a `Trigger`, which the command line wires in. The promise that keeps
a crash between decision and start from training twice is the run's name: `Facts.run_name` is the same whenever the same
decision is acted on again, and a trigger that already has a run of that name, running or done, starts no second one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Why retraining is asked for."""

    decision_id: str
    rule: str
    """Name of the rule that fired, see `monitoring.rules`."""
    reason: str
    """The same in one sentence."""
    model_version: str
    """The version whose ranking suffers; empty before any version has served."""
    cursor: int
    """End of the judged window in the live store's log: the run trains on what was logged until then, or later."""
    time: datetime
    """When it was decided."""

    @property
    def run_name(self) -> str:
        """The deterministic name of the run, valid as a Kubernetes name.

        The judged window names it; a run that only the schedule asked for has no window and is named by its time.

        >>> day = datetime(2026, 1, 2)
        >>> facts = Facts(decision_id="d", rule="schedule", reason="due", model_version="3", cursor=1200, time=day)
        >>> facts.run_name
        'retrain-v3-1200'
        >>> msgspec.structs.replace(facts, model_version="").run_name
        'retrain-20260102t000000'
        """
        if not self.model_version:
            return f"retrain-{self.time:%Y%m%dt%H%M%S}"
        version = "".join(letter if letter.isalnum() else "-" for letter in self.model_version.lower())
        return f"retrain-v{version.removeprefix('v')[:40]}-{self.cursor}"


class TriggerResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking."""

    run_id: str
    started: bool
    """False: a run is under way or one of this name exists, or it failed; `detail` says which."""
    failed: bool = False
    """The run could not be started, or ran and failed."""
    detail: str = ""


class Trigger(Protocol):
    """Starts retraining runs, at most one at a time."""

    def active(self) -> str | None:
        """Id of a run under way; None where there is none."""
        ...

    def start(self, reason: Facts) -> TriggerResult:
        """Starts a run named `reason.run_name`, unless one is under way or one of that name exists.

        Raises:
            LiverankError: the run could not be started, or ran in this process and failed. The monitor records it.
        """
        ...


@dataclass(frozen=True)
class NoTrigger:
    """Starts nothing: decisions are only recorded."""

    def active(self) -> str | None:
        """Nothing is ever under way."""
        return None

    def start(self, reason: Facts) -> TriggerResult:
        """Says that a run would have been asked for."""
        return TriggerResult(run_id=reason.run_name, started=False, detail="triggers are switched off")
