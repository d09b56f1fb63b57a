"""The folders that runs leave: kept while a newer run builds on them, removed when none does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path


def prune(runs: Path, keep: int) -> list[Path]:
    """Removes all but the newest `keep` runs and those whose results they took up; returns what was removed.

    A removed run costs nothing but time: its steps count as never run.
    """
    folders = sorted((path for path in runs.iterdir() if _is_run(path)), key=lambda path: path.stat().st_mtime_ns)
    kept = set(folders[-keep:])
    needed = {name for folder in kept for name in _built_on(folder, runs)}
    removed = [folder for folder in folders if folder not in kept and folder.name not in needed]
    for folder in removed:
        shutil.rmtree(folder)
    return removed


def _is_run(path: Path) -> bool:
    return path.is_dir() and (path / "run.json").is_file()


def _built_on(folder: Path, runs: Path) -> Iterator[str]:
    """Names of the runs in which the outputs of a run's steps lie."""
    progress = folder / "progress.jsonl"
    lines = progress.read_text(encoding="utf-8").splitlines() if progress.exists() else []
    for line in lines:
        for value in (json.loads(line).get("outputs") or {}).values():
            if isinstance(value, str) and Path(value).is_relative_to(runs):
                yield Path(value).relative_to(runs).parts[0]
