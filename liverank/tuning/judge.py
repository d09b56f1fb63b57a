"""One setting on one fold: fitted on what had arrived by then, judged by what came next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from liverank import progress
from liverank.config.evaluation import RankingMetric
from liverank.config.training import TrainingConfig
from liverank.evaluation import metrics
from liverank.evaluation.lists import Floats, RankedLists
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.fit import fit_rankers
from liverank.tuning.folds import Fold

JUDGED: Final = "blend"
"""The ranker that decides."""
METRICS: Final[Mapping[RankingMetric, Callable[[RankedLists, int], Floats]]] = {
    "ndcg": metrics.ndcg,
    "hit_rate": metrics.hit_rate,
    "recall": metrics.recall,
    "mrr": metrics.mrr,
    "map": metrics.average_precision,
    "precision": metrics.precision,
}


@dataclass(frozen=True)
class FoldScore:
    """What the rankers of one setting earned on one fold."""

    values: dict[str, Floats]
    """Ranker -> the metric of each judged request, `[requests]`; NaN where nothing was relevant."""

    @property
    def means(self) -> dict[str, float]:
        """Ranker -> mean over the requests with a relevant item."""
        return {name: float(np.nanmean(values)) for name, values in self.values.items()}


@dataclass(frozen=True)
class Judge:
    """How every trial is judged."""

    metric: RankingMetric
    k: int
    checkpoints: Path
    """Folder of text embeddings and training states; no two processes share one."""

    def score(self, fold: Fold, config: TrainingConfig) -> FoldScore:
        """Fits all rankers on the fold and measures each on the judged requests; says nothing meanwhile."""
        with progress.silenced():
            fitted = fit_rankers(fold.train, config, self.checkpoints)
            scores = score_rankers(fitted.rankers, fold.judged)
        measure = METRICS[self.metric]
        return FoldScore({name: measure(fold.lists.ranked(given), self.k) for name, given in scores.items()})
