"""Every ranker on the very same lists, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from liverank import progress
from liverank.errors import BundleError
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Ranker, Scores

BATCH = 32
"""Requests scored at once: enough to fill a batch of the model, few enough for steady progress."""


def score_rankers(
    rankers: Mapping[str, Ranker], requests: Sequence[LabelledRequest], title: str = "scoring"
) -> dict[str, list[Scores]]:
    """Scores of each ranker for each request, `[candidates]` each, in the order of the requests.

    `title` names the work in the progress.

    Raises:
        BundleError: a ranker does not give one finite score for each candidate.
    """
    with progress.stage(title, total=len(rankers) * len(requests)) as stage:
        return {name: _scores(name, ranker, requests, stage) for name, ranker in rankers.items()}


def _scores(name: str, ranker: Ranker, requests: Sequence[LabelledRequest], stage: progress.Stage) -> list[Scores]:
    scores: list[Scores] = []
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        answers = ranker.score_batch([labelled.request for labelled in batch])
        for labelled, answer in zip(batch, answers, strict=True):
            _check(name, labelled, answer)
        scores.extend(answers)
        stage.advance(len(batch), ranker=name)
    return scores


def _check(name: str, labelled: LabelledRequest, answer: Scores) -> None:
    expected = len(labelled.request.candidates)
    if len(answer) != expected:
        raise BundleError(f"Ranker {name} gave {len(answer)} scores for {expected} candidates ({labelled.request_id}).")
    if not np.isfinite(answer).all():
        raise BundleError(f"Ranker {name} gave a score that is not finite ({labelled.request_id}).")
