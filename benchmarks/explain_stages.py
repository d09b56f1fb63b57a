"""What the benchmark of explanations does in a process of its own: requests scored alone, and scored and explained."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

CANDIDATES: Final = 500
EVENTS: Final = 50
SHOWN: Final = 10
LEFT_OUT: Final = (1, 3, 4, 5, 8)
"""Items of the history that are left out, `serving.explain_events`."""
REQUESTS: Final = 25
ALONE: Final = "scored alone"
SIGNALS: Final = "with signals"
SEED: Final = 5


def speed(bundle: str, rounds: int) -> dict[str, Any]:
    """Seconds of each way to answer a request, on one core, taken in turn; the first round warms up.

    Returns:
        `seconds`: way -> median seconds a request; `times`: way -> median of its seconds by those of the same request
        scored alone right before.
    """
    import torch

    from liverank.ranking.bundle_files import load_bundle
    from liverank.ranking.lm.cascade import blend_of

    blend = blend_of(load_bundle(Path(bundle)).primary)
    if blend is None:
        raise ValueError("the bundle serves no blend")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    ways = _ways(blend)
    requests = _requests(list(blend.count.catalogue.item_ids), next(iter(blend.count.type_weights)))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for request in requests:
            taken = {name: _seconds(way, request) for name, way in ways.items()}
            for name, of in taken.items() if number else ():
                seconds[name].append(of)
                times[name].append(of / taken[ALONE])
    return {
        "seconds": {name: statistics.median(of) for name, of in seconds.items()},
        "times": {name: statistics.median(of) for name, of in times.items()},
        "items": len(blend.count.catalogue),
    }


def _ways(blend: Any) -> dict[str, Callable[[Any], object]]:
    from serving.explaining import EventEffects, contributions, scored_by_blend

    def explained(request: Any, events: int) -> object:
        scored = scored_by_blend(blend, request)
        assert scored is not None
        told = contributions(scored, scored.scores)
        shown = np.argsort(-scored.scores, kind="stable")[:SHOWN].tolist()
        reasons = [told.reasons(row) for row in shown]
        return (reasons, EventEffects(scored, "served").reasons(shown, events)) if events else reasons

    def leaving_out(events: int) -> Callable[[Any], object]:
        return lambda request: explained(request, events)

    left_out = {f"with events, {events} left out": leaving_out(events) for events in LEFT_OUT}
    return {ALONE: lambda request: blend.score_batch([request]), SIGNALS: leaving_out(0), **left_out}


def _seconds(way: Callable[[Any], object], request: Any) -> float:
    started = time.perf_counter()
    way(request)
    return time.perf_counter() - started


def _requests(names: list[str], kind: str) -> list[Any]:
    from liverank.ranking.protocol import Candidates, Context, History, Request

    draw, now = np.random.default_rng(SEED), 1.7e9
    made = []
    for _ in range(REQUESTS):
        past = [names[at] for at in draw.integers(0, len(names), EVENTS)]
        times = (now - np.cumsum(draw.integers(1, 10**5, EVENTS))[::-1]).tolist()
        listed = [names[at] for at in draw.permutation(len(names))[:CANDIDATES]]
        made.append(Request(History(past, [kind] * EVENTS, times), Candidates(listed), Context(now)))
    return made


STAGES: Final[Mapping[str, Any]] = {"explain_speed": speed}
