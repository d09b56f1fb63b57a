"""Scores of all items, a bounded part of the requests at a time, kept as ranks of what was looked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.errors import BundleError
from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.plain_counts import PlainCounts, together
from liverank.evaluation.protocols.ranks import best_rows, truth_ranks
from liverank.ranking import count
from liverank.ranking.catalogue import Catalogue, Floats, Rows
from liverank.ranking.count import CountRanker, segment
from liverank.ranking.data import EncodedRequest
from liverank.ranking.protocol import Candidates, History, Ranker, Request, Scores

Scorer = Callable[[Sequence[EncodedRequest]], Mapping[str, Floats]]
"""Requests -> row of the table -> `[requests, items]`, -inf where an item is no candidate."""
REQUESTS_AT_ONCE = 256
CELLS_AT_ONCE = 2_000_000
"""Requests times items scored at once: with ten signals of float32 each, 80 MB."""
READERS: Final = ("cascade", "lm")
"""Rankers that read the blend's best: rows of their own."""
PLAIN_COUNT = "plain count"
PLAIN_TEXT = "plain TF-IDF"
PLAIN_BOTH = "plain count + TF-IDF"


@dataclass
class Ranked:
    """What is kept of the scores."""

    ranks: dict[str, list[Rows]] = field(default_factory=dict)
    """Row of the table -> ranks of the wanted items, for each request."""
    best: dict[str, npt.NDArray[np.int32]] = field(default_factory=dict)
    """Row -> the best rows, `[requests, most]`; only of the rows that were to be kept."""


def rank(
    split: Split, asks: Sequence[Ask], scorer: Scorer, keep: Sequence[str] = (), most: int = 0, validation: bool = False
) -> Ranked:
    """Ranks all candidates of every request.

    Args:
        split: what the requests are of.
        asks: the requests.
        scorer: gives the scores.
        keep: rows of the table whose best items are kept.
        most: how many of them; of a smaller catalogue all.
        validation: whether the requests are the validation's.

    Raises:
        BundleError: a score is NaN or infinite: whatever is compared with such a score looks ranked, and is not.
    """
    most = min(most, len(split.log.catalogue))
    found, best = Ranked(), {name: [np.zeros((0, most), np.int32)] for name in keep}
    size = max(1, min(REQUESTS_AT_ONCE, CELLS_AT_ONCE // max(1, len(split.log.catalogue))))
    with progress.stage("rank all items", len(asks)) as stage:
        for start in range(0, len(asks), size):
            part = asks[start : start + size]
            rows = scorer([split.encoded(ask, split.candidates(ask, validation)) for ask in part])
            for name, scores in rows.items():
                _check(name, scores < np.inf)
                found.ranks.setdefault(name, []).extend(truth_ranks(scores, [ask.truth for ask in part]))
                if name in best:
                    best[name].append(best_rows(scores, most))
            stage.advance(len(part))
    found.best = {name: np.concatenate(parts) for name, parts in best.items() if len(parts) > 1}
    return found


def _check(name: str, right: npt.NDArray[np.bool_]) -> None:
    if not right.all():
        raise BundleError(f"Ranker {name} gave a score that is not finite.")


def scatter(name: str, scores: Sequence[Scores], requests: Sequence[EncodedRequest], items: int) -> Floats:
    """Scores of candidates at the rows of all items, `[requests, items]`, -inf elsewhere.

    Raises:
        BundleError: the ranker of this name gave a candidate a score that is not finite.
    """
    dense = np.full((len(requests), items), -np.inf, np.float32)
    for row, of, request in zip(dense, scores, requests, strict=True):
        _check(name, np.isfinite(of))
        row[request.candidates] = of
    return dense


def full_scores(ranker: Ranker, catalogue: Catalogue, requests: Sequence[EncodedRequest]) -> Floats:
    """Scores of any ranker by its contract, `[requests, items]`, -inf where an item is no candidate."""
    scores = ranker.score_batch([_served(catalogue, request) for request in requests])
    return scatter(ranker.name, scores, requests, len(catalogue))


def _served(catalogue: Catalogue, request: EncodedRequest) -> Request:
    """The request with ids, as a server would have it."""
    names = catalogue.item_ids
    history = History([names[row] for row in request.history.tolist()], request.types, request.times.tolist())
    candidates = Candidates([names[row] for row in request.candidates.tolist()])
    return Request(history, candidates, request.request.context, request.request.user_id)


class BundleScores:
    """Every ranker of a bundle, from one pass over the blend's signals.

    The blend holds the signals of the count ranker and the scores of the others, at most standardised within the
    request, which changes no order; what it does not hold, or holds otherwise, is scored by the ranker
    itself. A language model reads only the blend's best, and where it can move an answer (`reread.read_again`).
    """

    def __init__(self, rankers: Mapping[str, Any]) -> None:
        self.rankers = {name: ranker for name, ranker in rankers.items() if name not in READERS}
        self.blend = rankers["blend"]
        self.catalogue: Catalogue = self.blend.count.catalogue

    def __call__(self, requests: Sequence[EncodedRequest]) -> dict[str, Floats]:
        """Row -> `[requests, items]`."""
        signals = self.blend.signals(requests)
        blended = self.blend.combine(requests, signals)
        rows = {"blend": blended, "count": self._counted(requests, signals)}
        if "zero-shot" in self.rankers:
            rows["zero-shot"] = self.rankers["zero-shot"].score_encoded(requests)
        for name in (self.rankers.keys() - rows.keys()) & set(self.blend.signal_names):
            column = self.blend.signal_names.index(name)
            rows[name] = [of[:, column] for of in signals]
        dense = {name: scatter(name, scores, requests, len(self.catalogue)) for name, scores in sorted(rows.items())}
        for name in sorted(self.rankers.keys() - dense.keys()):
            dense[name] = full_scores(self.rankers[name], self.catalogue, requests)
        return dense

    def _counted(self, requests: Sequence[EncodedRequest], signals: Sequence[Floats]) -> list[Scores]:
        weights, width = self.blend.count.weights, len(count.SIGNALS)
        return [of[:, :width] @ weights[segment(request)] for request, of in zip(requests, signals, strict=True)]


class CountScores:
    """The count ranker alone."""

    def __init__(self, ranker: CountRanker) -> None:
        self.ranker = ranker

    def __call__(self, requests: Sequence[EncodedRequest]) -> dict[str, Floats]:
        """`count` -> `[requests, items]`."""
        name = self.ranker.name
        return {name: scatter(name, counted(self.ranker, requests), requests, len(self.ranker.catalogue))}


def counted(ranker: CountRanker, requests: Sequence[EncodedRequest]) -> list[Scores]:
    """Scores of the count ranker, `[candidates]` of each request."""
    pairs = zip(requests, ranker.signals(requests), strict=True)
    return [signals @ ranker.weights[segment(request)] for request, signals in pairs]


class PlainScores:
    """The plain recipes: counts, text, and both with one weight."""

    def __init__(self, recipe: PlainCounts, label_types: Collection[str], weight: float) -> None:
        self.recipe = recipe
        self.label_types = label_types
        self.weight = weight

    def __call__(self, requests: Sequence[EncodedRequest]) -> dict[str, Floats]:
        """Row -> `[requests, items]`."""
        counted, similar = plain_sides(self.recipe, self.label_types, requests)
        return {
            PLAIN_BOTH: together(counted, similar, self.weight),
            PLAIN_COUNT: counted,
            PLAIN_TEXT: similar,
        }


def plain_sides(
    recipe: PlainCounts, label_types: Collection[str], requests: Sequence[EncodedRequest]
) -> tuple[Floats, Floats]:
    """Both sides of the recipe, `[requests, items]` each, -inf where an item is no candidate.

    Of histories it reads events of the types that can be looked for: a recipe without weights would take a view, or a
    dislike, for as much as a purchase.
    """
    histories = [_looked_for(request, label_types) for request in requests]
    counted, similar = recipe.counted(histories), recipe.similar(histories)
    for at, request in enumerate(requests):
        others = np.ones(counted.shape[1], bool)
        others[request.candidates] = False
        counted[at, others] = similar[at, others] = -np.inf
    return counted, similar


def _looked_for(request: EncodedRequest, label_types: Collection[str]) -> Rows:
    """Rows of the history's events of these types."""
    kept = [at for at, kind in enumerate(request.types) if kind in label_types]
    return request.history if len(kept) == len(request.types) else request.history[kept]
