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
CANDIDATES: Final = 100
UNKNOWN: Final = 64
"""Of them; as many texts as a request may bring by default (`serving.max_new_texts`)."""
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


def offered(bundle: str) -> dict[str, float]:
    """Milliseconds in which the blend scores a list of `CANDIDATES`, on one core.

    Returns:
        `known_ms`: of known items; `unknown_ms`: with `UNKNOWN` items that it has never met, whose texts were offered
        before; `first_ms`: what `remember_texts` takes of the texts, once, beside the model's thread.
    """
    import torch

    from liverank.ranking.bundle_files import load_bundle
    from liverank.ranking.protocol import Candidates, Context, History, Request

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    model = load_bundle(Path(bundle))
    ids, told = list(model.catalogue.item_ids), [text for text in model.catalogue.texts if text]
    texts = {f"unknown-{at}": f"{told[at % len(told)]} {at}" for at in range(UNKNOWN)}
    past = ids[-50:]
    context = Context(1e9)

    def scored(candidates: Candidates) -> float:
        def once(number: int) -> object:
            history = History(past, ["click"] * len(past), [float(number + at) for at in range(len(past))], {})
            return model.primary.score_batch([Request(history, candidates, context)])

        once(-1)
        return _median(once)

    model.remember_texts(["warm"])
    started = time.perf_counter()
    model.remember_texts(list(texts.values()))
    first_ms = 1000 * (time.perf_counter() - started)
    with_texts = Candidates([*ids[: CANDIDATES - UNKNOWN], *texts], texts)
    known_ms, unknown_ms = scored(Candidates(ids[:CANDIDATES])), scored(with_texts)
    return {"known_ms": known_ms, "unknown_ms": unknown_ms, "first_ms": first_ms}


STAGES: Final[Mapping[str, Callable[..., Any]]] = {"new_items": learned, "offered_items": offered}
