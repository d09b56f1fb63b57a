"""The ranking metrics, one family a module; each takes `RankedLists` and gives one value a request.

NaN means undefined for that request (nothing relevant, say): such a request is left out of the mean, and how many were
judged is always reported beside it.
"""

from __future__ import annotations

from liverank.evaluation.metrics.catalogue import coverage, novelty
from liverank.evaluation.metrics.diversity import diversity
from liverank.evaluation.metrics.gain import ndcg
from liverank.evaluation.metrics.hits import hit_rate, precision, recall
from liverank.evaluation.metrics.rank import average_precision, mrr
from liverank.evaluation.metrics.separation import auc

__all__ = [
    "auc",
    "average_precision",
    "coverage",
    "diversity",
    "hit_rate",
    "mrr",
    "ndcg",
    "novelty",
    "precision",
    "recall",
]
