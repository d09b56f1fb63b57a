"""What the benchmark of the server does in a process of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.load import Tally

BODIES: Final = 200
SEED: Final = 11
WARM_UPS: Final = 50


def paced(bundle: str, size: int, history: int, rate: float, seconds: float) -> dict[str, Any]:
    """Scores lists at fixed times with nothing else running: what of a latency is the model's and the machine's.

    Args:
        bundle: its folder.
        size: candidates of a list.
        history: events of a user, read anew for each list.
        rate: lists a second.
        seconds: for how long.

    Returns:
        `Tally.figures` of the times from when a list was due, and `cpu_ms` a list.
    """
    import threadpoolctl
    import torch

    from liverank.ranking.bundle_files import load_bundle
    from liverank.ranking.protocol import Candidates, Context, History, Request

    torch.set_num_threads(1)
    threadpoolctl.threadpool_limits(1)
    model, draw = load_bundle(Path(bundle)), random.Random(SEED)
    ids = list(model.catalogue.item_ids)
    times = [float(number) for number in range(history)]
    lists = [(draw.sample(ids, history), draw.sample(ids, size)) for _ in range(BODIES)]

    def score(number: int) -> None:
        past, candidates = lists[number % BODIES]
        events = History(past, ["click"] * history, times)
        model.primary.score_batch([Request(events, Candidates(candidates), Context(1e9))])

    for number in range(WARM_UPS):
        score(number)
    tally, begin, used = Tally(), time.perf_counter(), time.process_time()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        score(number)
        tally.seconds.append(time.perf_counter() - due)
    tally.wall = time.perf_counter() - begin
    return {**tally.figures(), "cpu_ms": 1000 * (time.process_time() - used) / len(tally.seconds)}


STAGES: Final[Mapping[str, Callable[..., Any]]] = {"serving_paced": paced}
