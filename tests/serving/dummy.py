"""A deterministic little model, and a server process that serves it: the doors can be tested without training.

Run as `python -m tests.serving.dummy WORKSPACE [section.key=value ...]`. WORKSPACE/version names the version to serve;
the word `broken` there makes the load fail, WORKSPACE/slow makes every batch take that many seconds,
WORKSPACE/slow-texts every text that it has not seen lately; the text `unreadable` cannot be encoded, and what meets
a text that begins with `crash` fails and quotes it.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from liverank.cli.options import overrides
from liverank.config import load_config
from liverank.errors import BundleError, LiverankError
from liverank.events import Item
from liverank.ranking.protocol import Candidates, Request, Scores
from liverank.text import LanguageModelError
from serving.model import ServedModel


class CountsClicks:
    """Scores a candidate by its events in the history, then by whether the model has met it."""

    name = "counts-clicks"

    def __init__(self, known: set[str], remember: Callable[[Sequence[str]], int], slow: Path) -> None:
        self._known = known
        self._remember = remember
        self._slow = slow

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        if self._slow.exists():
            time.sleep(float(self._slow.read_text()))
        return [self._score(request) for request in requests]

    def _score(self, request: Request) -> Scores:
        if "poison" in request.candidates.item_ids:
            raise ValueError(f"poison for {request.user_id}: {request.candidates.texts}")
        self._remember(list(request.candidates.texts.values()))
        counts = Counter(request.history.item_ids)
        known = [
            0.5 * (item in self._known or item in request.candidates.texts) for item in request.candidates.item_ids
        ]
        return np.array([counts[item] for item in request.candidates.item_ids], np.float32) + np.array(
            known, np.float32
        )


class DummyBundle:
    """Looks like a bundle to the server."""

    def __init__(self, version: str, slow: Path) -> None:
        self.hash = f"hash-of-{version}"
        self.manifest: dict[str, Any] = {"created_at": "2100-01-01T00:00:00+00:00"}
        self._items: dict[str, Item] = {}
        self._known: set[str] = set()
        self._texts: set[str] = set()
        self._slow_texts = slow.with_name("slow-texts")
        self.primary = CountsClicks(self._known, self.remember_texts, slow)
        self.rankers = {"blend": self.primary}

    @property
    def catalogue(self) -> Any:
        items = sorted(self._known)
        return SimpleNamespace(
            item_ids=items,
            index={item: row for row, item in enumerate(items)},
            titles=[self._items[item].title for item in items],
            categories=[self._items[item].category for item in items],
            is_new=[bool(self._items[item].text) for item in items],
        )

    def add_items(self, items: Sequence[Item], former: Any = None) -> None:
        self._items.update((item.item_id, item) for item in items)
        self._known.update(item.item_id for item in items)

    def vectors(self, item_ids: Sequence[str], texts: Mapping[str, str]) -> Any:
        """One axis for each first letter of a text; 0 without a text."""
        vectors = np.zeros((len(item_ids), 26), np.float32)
        for row, item in enumerate(item_ids):
            text = self._items[item].text if item in self._items else texts.get(item, "")
            if text.startswith("crash"):
                raise ValueError(text)
            if text:
                vectors[row, (ord(text[0]) - ord("a")) % vectors.shape[1]] = 1
        return vectors

    def texts_read(self, texts: Collection[str]) -> set[str]:
        return self._texts.intersection(texts)

    def remember_texts(self, texts: Sequence[str]) -> None:
        if "unreadable" in texts:
            raise LanguageModelError("The language model cannot be had.")
        for text in texts:
            if text.startswith("crash in the encoder"):
                raise KeyError(text)
            if text not in self._texts and self._slow_texts.exists():
                time.sleep(float(self._slow_texts.read_text()))
            self._texts.add(text)

    def query_scores(self, query: str, candidates: Candidates) -> Scores:
        """How many of the query's words an item's text, or its id where it has none, holds."""
        if query == "unreadable":
            raise LanguageModelError("The language model cannot be had.")
        wanted = set(query.split())
        texts = [candidates.texts.get(item, item) for item in candidates.item_ids]
        return np.array([len(wanted & set(text.split())) for text in texts], np.float32)


class DummySource:
    """Serves what a file of the workspace says: `version`, or for a model beside the champion its reference."""

    def __init__(self, workspace: Path, reference: str = "version") -> None:
        self._workspace = workspace
        self._reference = reference

    def load(self) -> ServedModel:
        path = self._workspace / self._reference.replace(":", "-")
        version = path.read_text() if path.exists() else "1"
        if version == "broken":
            raise BundleError("The bundle is damaged.")
        return ServedModel(version, DummyBundle(version, self._workspace / "slow"))


def main(workspace: Path, settings: list[str]) -> int:
    from serving.server import run

    config = load_config(None, {"workspace": str(workspace), **overrides(settings)})
    try:
        return 128 + run(config, source=DummySource(workspace), sources=partial(DummySource, workspace))
    except LiverankError as problem:
        sys.stderr.write(f"Error: {problem}\n")
        return problem.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
