"""The plain recipes in a protocol: fitted on the training, their weight chosen on the validation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverank.evaluation.protocols.asks import Split, sample
from liverank.evaluation.protocols.plain_counts import WEIGHTS, PlainCounts, together
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.scoring import PlainScores, plain_sides, rank
from liverank.ranking.catalogue import Floats
from liverank.ranking.data import EncodedRequest

VALIDATION_REQUESTS = 4000


def plain_scores(split: Split, k: int) -> PlainScores:
    """The recipes on a split's training; of the weights tried, the one with the highest validation NDCG@k."""
    recipe = PlainCounts.fit(split.sequences(), split.log.catalogue.texts)
    types = split.log.label_types

    def every_weight(requests: Sequence[EncodedRequest]) -> dict[str, Floats]:
        sides = plain_sides(recipe, types, requests)
        return {str(weight): together(*sides, weight) for weight in WEIGHTS}

    ranks = rank(split, sample(split.validation, VALIDATION_REQUESTS), every_weight, validation=True).ranks
    if not ranks:
        return PlainScores(recipe, types, 0.0)
    values = [float(np.mean(metrics(ranks[str(weight)], k)["ndcg"])) for weight in WEIGHTS]
    return PlainScores(recipe, types, WEIGHTS[int(np.argmax(values))])
