"""A model server whose model counts the user's events with each candidate: what it shows is what it has read.

`python -m benchmarks.counting_server WORKSPACE [section.key=value ...]`; for benchmarks of the live store, which are
not about a model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import numpy as np

from liverank.events import Item
from liverank.ranking.protocol import Candidates, Request, Scores

START_SECONDS: Final = 120


class CountingRanker:
    """Scores a candidate by the number of its events in the history."""

    name = "counting"

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """One score a candidate of each request."""
        return [self._score(request) for request in requests]

    def _score(self, request: Request) -> Scores:
        counts = Counter(request.history.item_ids)
        return np.array([counts[item] for item in request.candidates.item_ids], np.float32)


class CountingBundle:
    """As much of a bundle as the server asks for; it knows no item."""

    def __init__(self) -> None:
        self.hash = "counting"
        self.manifest: dict[str, Any] = {}
        self.primary: Any = CountingRanker()
        self.rankers: Mapping[str, Any] = {"counting": self.primary}
        self.catalogue = SimpleNamespace(item_ids=[], index={})

    def add_items(self, items: Sequence[Item], former: Any = None) -> None:
        """Knows them no better than others."""

    def remember_texts(self, texts: Sequence[str]) -> None:
        """Reads no texts: it has nothing to learn from any."""

    def texts_read(self, texts: Collection[str]) -> set[str]:
        """All: nothing is to be read."""
        return set(texts)

    def query_scores(self, query: str, candidates: Candidates) -> Scores:
        """No item is closer to a query than another, `[candidates]`."""
        return np.zeros(len(candidates), np.float32)

    def vectors(self, item_ids: Sequence[str], texts: Mapping[str, str]) -> None:
        """It has none."""


class CountingSource:
    """Loads the one model that there is."""

    def load(self) -> Any:
        """The model, as version `counting`."""
        from serving.model import ServedModel

        return ServedModel("counting", CountingBundle())


@contextmanager
def counting_server(workspace: Path, *settings: str) -> Iterator[str]:
    """Starts the server and yields its URL.

    Raises:
        RuntimeError: it did not start; its output is the message.
    """
    from liverank.cli.demo.server import stop
    from serving.announcement import FILE

    workspace.mkdir(parents=True)
    log = workspace / "log"
    ports = ("serving.http_port=0", "serving.grpc_port=0")
    command = [sys.executable, "-m", "benchmarks.counting_server", str(workspace), *ports, *settings]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (workspace / FILE).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()}")
            time.sleep(0.05)
        yield str(json.loads((workspace / FILE).read_text())["url"])
    finally:
        stop(process)


def main(workspace: str, *settings: str) -> int:
    """Serves until a signal."""
    from liverank.config import load_config, parse_settings
    from liverank.environment import silence_telemetry
    from serving.server import run

    silence_telemetry()
    config = load_config(os.devnull, {"workspace": workspace, **parse_settings(settings)})
    return 128 + run(config, source=CountingSource())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
