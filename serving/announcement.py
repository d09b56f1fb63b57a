"""`server.json` in the workspace: how the CLI, the deploy step and the monitor find the local server."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "server.json"


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where a server listens and which version it serves."""

    url: str
    grpc: str
    pid: int
    version: str

    def write(self, workspace: Path) -> None:
        """Writes the file as a whole: no reader sees half of it."""
        workspace.mkdir(parents=True, exist_ok=True)
        part = workspace / f".{FILE}.{self.pid}"
        part.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        os.replace(part, workspace / FILE)


def withdraw(workspace: Path, pid: int) -> None:
    """Removes the file when it is this process's; another server may have taken its place."""
    path = workspace / FILE
    try:
        mine = json.loads(path.read_text(encoding="utf-8")).get("pid") == pid
    except (FileNotFoundError, ValueError):
        return
    if mine:
        path.unlink(missing_ok=True)
