"""Where monitoring keeps what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """The folders under the workspace."""

    workspace: Path

    @property
    def state(self) -> Path:
        """State file, lock and baselines."""
        return self.workspace / "monitoring"

    @property
    def decisions(self) -> Path:
        """Decision records."""
        return self.workspace / "decisions"

    @property
    def reports(self) -> Path:
        """HTML pages."""
        return self.workspace / "reports"

    @property
    def evidently(self) -> Path:
        """The Evidently workspace, as `evidently ui --workspace` shows it."""
        return self.workspace / "evidently"

    def baseline(self, version: str) -> Path:
        """The first healthy window of a model version."""
        name = "".join(letter if letter.isalnum() else "-" for letter in version)
        return self.state / "baselines" / f"{name}.parquet"
