"""What the re-ranker's benchmark does in a process of its own: requests put to several ways to score the same pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

EVENTS: Final = 20
KEPT: Final = "history shared, lower layers kept"
MET_FIRST: Final = "the same, items met for the first time"
SHARED: Final = "history shared, all layers anew"
ALONE: Final = "history read anew for each candidate"
CROSS_ENCODER: Final = "sentence-transformers CrossEncoder"
PAIRS_AT_ONCE: Final = 32
SEED: Final = 11


@dataclass(frozen=True)
class Asked:
    """One request: titles of the history, oldest first, and of the candidates."""

    history: list[str]
    candidates: list[str]


def speed(candidates: int, requests: int, history: int = EVENTS, device: str = "cpu") -> dict[str, Any]:
    """Seconds a request of each way, and what of a request they read.

    Args:
        candidates: of each request.
        requests: put to each way, in turn.
        history: events of each request.
        device: `cpu`, on one thread, or `cuda`.

    Returns:
        `seconds`: way -> median seconds a request; `tokens`: mean of a history and of a candidate.
    """
    torch.set_num_threads(1)
    # The first is not counted: a way's first request waits for what it does only once.
    asked = [*_requests(4, 1, history), *_requests(candidates, requests, history)]
    ways, tokens = _ways(asked, torch.device(device))
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number, one in enumerate(asked):
        for name, way in ways.items():
            started = time.perf_counter()
            way(one)
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                found[name].append(time.perf_counter() - started)
    return {"seconds": {name: statistics.median(values) for name, values in found.items()}, "tokens": tokens}


def _requests(candidates: int, count: int, history: int) -> list[Asked]:
    """Titles of four to nine words, drawn from a small vocabulary; each request has its own."""
    rng = np.random.default_rng([SEED, candidates])
    words = [a + b for a in ("lamp", "desk", "tent", "rope", "mug", "pen", "bag") for b in ("", "s", " red", " set")]

    def titles(number: int) -> list[str]:
        return [" ".join(rng.choice(words, int(rng.integers(4, 10)))) for _ in range(number)]

    return [Asked(titles(history), titles(candidates)) for _ in range(count)]


def _ways(asked: Sequence[Asked], device: torch.device) -> tuple[dict[str, Callable[[Asked], Any]], dict[str, float]]:
    from sentence_transformers import CrossEncoder

    from liverank.config.lm import LmConfig
    from liverank.ranking.lm.loading import load_scorer
    from liverank.ranking.lm.template import HistoryTemplate, TitledEvent
    from liverank.text import PACKAGED, model_folder

    settings = LmConfig(history_tokens=384)
    prompts, kept = load_scorer(PACKAGED, settings, device)
    _, first = load_scorer(PACKAGED, settings.model_copy(update={"cache_mib": 0}), device)
    _, whole = load_scorer(PACKAGED, settings.model_copy(update={"joint_layers": 0}), device)
    cross = CrossEncoder(str(model_folder(PACKAGED)), num_labels=1, max_length=416, device=device.type)
    template = HistoryTemplate("en")

    def told(one: Asked) -> str:
        return template.told([TitledEvent(title, "purchase", 1e5) for title in one.history], {})

    def history(one: Asked) -> Any:
        return prompts.text(told(one))

    def shared(scorer: Any) -> Callable[[Asked], Any]:
        return lambda one: _shared(scorer, history(one), [prompts.candidate(text) for text in one.candidates], device)

    for one in asked:  # the items are known, as a catalogue's are; the histories are new each time
        _shared(kept, history(one), [prompts.candidate(text) for text in one.candidates], device)
    ways = {
        KEPT: shared(kept),
        MET_FIRST: shared(first),
        SHARED: shared(whole),
        ALONE: lambda one: _alone(whole, history(one), [prompts.candidate(text) for text in one.candidates], device),
        CROSS_ENCODER: lambda one: cross.predict(
            [(told(one), text) for text in one.candidates], batch_size=PAIRS_AT_ONCE, show_progress_bar=False
        ),
    }
    lengths = [len(prompts.candidate(text)) for one in asked[1:] for text in one.candidates]
    return ways, {
        "history": float(np.mean([len(history(one)) for one in asked[1:]])),
        "candidate": float(np.mean(lengths)),
    }


@torch.no_grad()
def _shared(scorer: Any, history: Any, candidates: Sequence[Any], device: torch.device) -> Any:
    from liverank.ranking.interest_steps import precision_on
    from liverank.ranking.lm.prompts import padded
    from liverank.ranking.lm.ranker import CANDIDATES_AT_ONCE
    from liverank.ranking.lm.training import candidate_block

    scorer.eval()
    with precision_on(device):
        states = scorer.reader.read(*_on(device, *padded([history], 0)))
        ordered = sorted(candidates, key=len)
        parts = [ordered[at : at + CANDIDATES_AT_ONCE] for at in range(0, len(ordered), CANDIDATES_AT_ONCE)]
        return [scorer.scores(states, *_on(device, *candidate_block([part], 0))) for part in parts]


@torch.no_grad()
def _alone(scorer: Any, history: Any, candidates: Sequence[Any], device: torch.device) -> Any:
    from liverank.ranking.interest_steps import precision_on
    from liverank.ranking.lm.prompts import padded
    from liverank.ranking.lm.training import candidate_block

    scorer.eval()
    ordered = sorted(candidates, key=len)
    with precision_on(device):
        for at in range(0, len(ordered), PAIRS_AT_ONCE):
            part = ordered[at : at + PAIRS_AT_ONCE]
            told = _on(device, *padded([history] * len(part), 0))
            scorer(told, _on(device, *candidate_block([[text] for text in part], 0)))


def _on(device: torch.device, ids: Any, real: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(ids).to(device), torch.from_numpy(real).to(device)


STAGES: Final = {"reranker_speed": speed}
