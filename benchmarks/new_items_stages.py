"""What the benchmark of new items does in a process of its own."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

TIMED: Final = 21
HELD: Final = 100
SEED: Final = 5


def learned(bundle: str, items: int) -> dict[str, float]:
    """Milliseconds of one item more in a catalogue of so many, and MiB held for it.

    Returns:
        `new_ms` and `rewritten_ms`: medians without the text's encoding; `text_ms`: that of the encoding; `held_mib`.
    """
    import torch

    from liverank.events import Item
    from liverank.ranking.bundle_files import load_bundle

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    model, draw = load_bundle(Path(bundle)), np.random.default_rng(SEED)
    texts = [text for text in model.catalogue.texts if text]

    def item(number: int, told: int = 0) -> Item:
        return Item(item_id=f"more-{number}", title=f"{texts[(number + told) % len(texts)]} {number}", category="more")

    encode = model._encoder.encode
    text_ms = _median(lambda at: encode([texts[at]]))
    model._encoder.encode = lambda told: _directions(draw, len(told))  # type: ignore[assignment,method-assign]
    known = len(model.catalogue)
    model.add_items([item(number) for number in range(max(0, items - known))])
    first = items
    new_ms = _median(lambda at: model.add_items([item(first + at)]))
    rewritten_ms = _median(lambda at: model.add_items([item(first + at, told=1)]))
    before = _held_mib()
    for number in range(HELD):
        model.add_items([item(2 * first + number)])
    held = (_held_mib() - before) / HELD
    return {"new_ms": new_ms, "rewritten_ms": rewritten_ms, "text_ms": text_ms, "held_mib": held}


def _median(work: Callable[[int], object]) -> float:
    seconds = []
    for number in range(TIMED):
        started = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def _directions(draw: np.random.Generator, count: int) -> Any:
    vectors = draw.standard_normal((count, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _held_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


STAGES: Final[Mapping[str, Callable[..., Any]]] = {"new_items": learned}
