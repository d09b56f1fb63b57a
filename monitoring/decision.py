"""The decision record: what was seen, what it does to ranking quality, which rule settled it, what came of it.

One JSON file each, written whole or not at all, never changed except to add what the trigger answered, never deleted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from liverank.errors import DataError
from monitoring.quality import Comparison, Slice
from monitoring.trigger import Facts, TriggerResult


class ValueSkewFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Feature values that answers were ranked with, against those that training makes of the log."""

    impressions: int
    """Impressions of the window that carry values."""
    checked: int
    """Those that were compared."""
    share: float | None
    """Share of those with a value that differs; None where none was compared."""
    features: dict[str, float]
    """Feature -> share of its values that differ without an excuse; those without such a value are left out."""
    not_compared: dict[str, int]
    """Why values were not compared, wholly or in part -> of how many impressions."""


class WindowFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic that was judged."""

    start: int
    """Cursor in the live store's log just before the first impression."""
    end: int
    """Cursor of the last impression."""
    impressions: int
    judged: int
    """Impressions on which the deciding metric is defined."""
    mean: float | None
    """The deciding metric's mean over them, whether or not there is something to compare it with."""
    first: datetime
    last: datetime
    degraded_share: float
    clicks_by_position: list[tuple[int, int]]
    """Shown and answered items at position 1, 2, ..."""
    newest_event_age: float
    """Seconds from the newest timestamp in the log to the decision; negative where the log runs ahead of the clock."""
    model_age: float | None
    """Seconds since the model was made; None where unknown."""
    skew_share: float | None = None
    """Share of the answers ranked with another history than training makes; None where no answer says."""
    value_skew: ValueSkewFacts | None = None
    """None where no answer says which values it used."""


class ColumnFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Drift of one column."""

    column: str
    group: str
    method: str
    outcome: Literal["stable", "drifted", "left out", "failed"]
    value: float | None = None
    threshold: float | None = None
    """The configured distance plus what sampling alone gives."""
    detail: str = ""


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the traffic and what followed."""

    id: str
    time: datetime
    action: Literal["none", "retrain"]
    rule: str
    """The rule that settled it, see `monitoring.rules`."""
    reason: str
    cause: str = ""
    """The rule that asked for a run; differs from `rule` where a hold kept it back."""
    model_version: str = ""
    metric: str = ""
    """The deciding metric, e.g. `ndcg_at_10`."""
    reference: str = ""
    """What the window was compared with: `evaluation`, `first window` or nothing."""
    window: WindowFacts | None = None
    quality: Comparison | None = None
    slices: list[Slice] = []
    columns: list[ColumnFinding] = []
    warnings: list[str] = []
    facts: Facts | None = None
    """What was handed to the trigger."""
    trigger: TriggerResult | None = None
    """What the trigger answered; None while it is at work."""
    reports: dict[str, str] = {}
    """Kind of report -> path relative to the workspace."""


def drifted_share(columns: Sequence[ColumnFinding]) -> float:
    """Share of the compared columns that drifted; 0 where none was compared."""
    compared = [finding.outcome == "drifted" for finding in columns if finding.outcome in {"stable", "drifted"}]
    return sum(compared) / len(compared) if compared else 0.0


def write_decision(folder: Path, record: DecisionRecord) -> Path:
    """Writes the record durably under its id and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.id}.json"
    write_whole(path, msgspec.json.format(msgspec.json.encode(record), indent=2))
    return path


def read_decision(folder: Path, name: str) -> DecisionRecord:
    """The record whose id is `name` or alone begins with it.

    Raises:
        DataError: there is none, there are several, or its file is damaged.
    """
    found = [path for path in _files(folder) if path.stem == name] or [
        path for path in _files(folder) if path.stem.startswith(name)
    ]
    if len(found) != 1:
        said = f"{len(found)} decisions begin with '{name}'" if found else f"There is no decision '{name}'"
        raise DataError(f"{said} in {folder}.", "`liverank decisions` lists them.")
    return _decode(found[0])


def list_decisions(folder: Path, limit: int) -> list[DecisionRecord]:
    """The latest `limit` records, newest first."""
    return [_decode(path) for path in reversed(_files(folder)[-limit:])]


def decision_schema() -> Mapping[str, Any]:
    """The JSON Schema of a record."""
    return msgspec.json.schema(DecisionRecord)


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file so that a reader, or a crash, sees the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _files(folder: Path) -> list[Path]:
    # Ids begin with the time, so that their order is that of the decisions.
    return sorted(folder.glob("[!.]*.json"))


def _decode(path: Path) -> DecisionRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DecisionRecord)
    except (OSError, msgspec.DecodeError) as problem:
        raise DataError(f"The decision record {path} cannot be read: {problem}.", "Restore or remove it.") from problem
