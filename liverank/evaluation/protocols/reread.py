"""Rows of a language model that puts the blend's best in a new order, and of the cascade with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from liverank import progress
from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.ranks import truth_ranks
from liverank.evaluation.protocols.scoring import READERS, scatter
from liverank.ranking.catalogue import Rows
from liverank.ranking.data import EncodedRequest
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Scores, ranking

_AT_ONCE = 64
Ordered = Callable[[int, Scores], Rows]
"""Number of a request and scores of its candidates -> ranks of its wanted items."""


def read_again(
    cascade: CascadeRanker,
    requests: Sequence[EncodedRequest],
    truths: Sequence[Rows],
    scores: Sequence[Scores],
    ranked: Ordered,
) -> Mapping[str, list[Rows]]:
    """Ranks of the wanted items in the cascade's order and in its language model's own.

    Only requests are read that have a wanted item among the blend's best: the others' ranks cannot change, but for
    those tied with the last of the best.

    Args:
        cascade: over the blend that gave the scores.
        requests: with the candidates that the scores are of.
        truths: the wanted rows of each.
        scores: the blend's, `[candidates]` of each.
        ranked: makes ranks of scores.
    """
    found: dict[str, list[Rows]] = {name: [] for name in READERS}
    for at, (request, truth, of) in enumerate(zip(requests, truths, scores, strict=True)):
        best = request.candidates[ranking(of)[: cascade.top]]
        rows = cascade.beside(request, of) if np.isin(best, truth).any() else dict.fromkeys(READERS, of)
        for name in READERS:
            found[name].append(ranked(at, rows[name]))
    return found


def reread_all(
    split: Split, asks: Sequence[Ask], cascade: CascadeRanker, blend: Sequence[Rows]
) -> dict[str, list[Rows]]:
    """As `read_again` over all items, given the wanted items' ranks by the blend."""
    chosen = [at for at, ranks in enumerate(blend) if (ranks <= cascade.top).any()]
    found = {name: list(blend) for name in READERS}
    items = len(split.log.catalogue)
    with progress.stage("read the best again", len(chosen)) as stage:
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            requests = [split.encoded(asks[at], split.candidates(asks[at])) for at in part]
            scores = cascade.blend.combine(requests, cascade.blend.signals(requests))
            truths = [asks[at].truth for at in part]

            def ranked(
                number: int, of: Scores, requests: Sequence[EncodedRequest] = requests, truths: Sequence[Rows] = truths
            ) -> Rows:
                return truth_ranks(scatter(cascade.name, [of], [requests[number]], items), [truths[number]])[0]

            for name, ranks in read_again(cascade, requests, truths, scores, ranked).items():
                for at, of in zip(part, ranks, strict=True):
                    found[name][at] = of
            stage.advance(len(part))
    return found
