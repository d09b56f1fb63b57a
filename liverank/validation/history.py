"""The history of validations: a folder with one JSON file a run, so that runs beside each other need no lock."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from liverank.progress import note

Record = dict[str, Any]
"""time, ok, source, hash, rows, set_aside, checks, sources, profile; paths of accepted and quarantine."""
_KEYS: Final[Mapping[str, type]] = {"time": str, "ok": bool, "rows": dict, "checks": dict, "profile": dict}
_PROFILE: Final = ("rows", "days", "types", "categories", "words")
DAMAGED: Final = ".damaged"


def remember(folder: Path, record: Record, keep: int) -> None:
    """Adds a record, whole or not at all, and forgets the oldest but `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.fromisoformat(record["time"]).astimezone(UTC)
    name = f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}.json"
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(folder / name)
    for old in sorted(folder.glob("*.json"))[:-keep]:
        old.unlink(missing_ok=True)


def recall(folder: Path | None) -> list[Record]:
    """The records, oldest first; a damaged file is told of and set aside, since history is no reason to stop."""
    if folder is None or not folder.is_dir():
        return []
    found = []
    for path in sorted(folder.glob("*.json")):
        # Another run may have forgotten the file since the folder was listed.
        with suppress(FileNotFoundError):
            record = _read(path)
            if record is None:
                path.replace(path.with_name(path.name + DAMAGED))
                note(f"{path} is damaged: it counts no more and is kept as {path.name}{DAMAGED}.")
            else:
                found.append(record)
    return found


def _read(path: Path) -> Record | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if not isinstance(record, dict) or any(not isinstance(record.get(key), kind) for key, kind in _KEYS.items()):
        return None
    profile = record["profile"]
    whole = not profile or all(key in profile for key in _PROFILE)
    return record if whole else None
