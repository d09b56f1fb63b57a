"""What the benchmark of list shaping does in a process of its own: lists under one set of rules after another."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from liverank.shaping.arranging import arrange
from liverank.shaping.exploration import Draw
from liverank.shaping.listed import Listed
from liverank.shaping.rules import Cap, Diversity, Exploration, NewItems, Rules

ITEMS: Final = 20_000
WIDTH: Final = 384
CATEGORIES: Final = 20
BRANDS: Final = 60
NEW_SHARE: Final = 0.1
SEED: Final = 11

_CAP: Final = Cap(most=2, within=10)
_TWO: Final = [_CAP, Cap(attribute="brand", most=1, within=10)]
_NEW: Final = NewItems(least=0.1, within=10)
WAYS: Final[dict[str, Rules]] = {
    "scores alone": Rules(),
    "a cap": Rules(caps=[_CAP]),
    "a cap, new items": Rules(caps=[_CAP], new=_NEW),
    "MMR": Rules(diversity=Diversity()),
    "DPP": Rules(diversity=Diversity(method="dpp")),
    "a cap, MMR": Rules(caps=[_CAP], diversity=Diversity()),
    "a cap, new items, DPP": Rules(caps=[_CAP], new=_NEW, diversity=Diversity(method="dpp")),
    "two caps, new items, MMR": Rules(caps=_TWO, new=_NEW, diversity=Diversity()),
}
EXPLORATION: Final = Exploration(share=1, temperature=0.5, keep=2, positions=10, salt="")


def shaping(candidates: int, k: int, lists: int) -> dict[str, Any]:
    """Median processor milliseconds a list of each way, drawn and not; each list has new candidates.

    Nothing here waits, so that the clock would only add what else the machine does.

    Args:
        candidates: of each list.
        k: of them shown.
        lists: for each way, in turn.
    """
    new_list = _lists(candidates)
    nothing = np.zeros(candidates, bool)
    found: dict[str, dict[str, list[float]]] = {name: {"best": [], "drawn": []} for name in WAYS}
    for number in range(lists):
        for name, rules in WAYS.items():
            for how in ("best", "drawn"):
                listed = new_list()
                started = time.process_time()
                arrange(listed, rules, k, nothing, Draw(EXPLORATION, str(number)) if how == "drawn" else None)
                found[name][how].append(1000 * (time.process_time() - started))
    return {
        name: {how: statistics.median(times) for how, times in measured.items()} for name, measured in found.items()
    }


def _lists(candidates: int) -> Callable[[], Listed]:
    rng = np.random.default_rng(SEED)
    vectors = rng.normal(size=(ITEMS, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"item-{row}" for row in range(candidates)]

    def make() -> Listed:
        rows = rng.choice(ITEMS, candidates, replace=False)
        values = {
            "category": [f"category-{at}" for at in rng.integers(0, CATEGORIES, candidates)],
            "brand": [f"brand-{at}" for at in rng.integers(0, BRANDS, candidates)],
        }
        is_new = rng.random(candidates) < NEW_SHARE
        scores = rng.normal(size=candidates).astype(np.float32)
        return Listed(ids, scores, values.__getitem__, lambda: is_new, lambda: vectors[rows])

    return make


STAGES: Final[dict[str, Callable[..., dict[str, Any]]]] = {"shaping": shaping}
