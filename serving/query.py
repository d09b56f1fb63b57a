"""What a query adds to a ranking: how close each candidate's text lies to what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from liverank.ranking.blend_signals import standard
from liverank.ranking.protocol import Scores
from serving.scoring import Answer

NOT_COMPARED = "query: not compared"
WITHOUT_TEXT = "query: {} candidates were compared without their text"


@dataclass(frozen=True, slots=True)
class QueryMatch:
    """Cosine of the query's and each candidate's embedding, `[candidates]`; None: there was no query, or no time.

    `weight` of them, and the rest of what the ranker says, make the score: both with mean 0 and deviation 1 within the
    list, so that it does not matter how large the numbers of either are.
    """

    scores: Scores | None
    weight: float
    lacking: tuple[str, ...] = ()

    def by_item(self, item_ids: Sequence[str]) -> Mapping[str, float] | None:
        """The cosines by item id."""
        return None if self.scores is None else dict(zip(item_ids, self.scores.tolist(), strict=True))

    def joined(self, answer: Answer) -> Answer:
        """The ranker's answer with the query's part in its scores, in deviations from the list's mean."""
        scores = standard(np.asarray(answer.scores, np.float32))
        if self.scores is not None:
            scores = (1 - self.weight) * scores + self.weight * standard(self.scores)
        return replace(answer, scores=scores.astype(np.float32), degraded=(*self.lacking, *answer.degraded))
