"""The cascade: the blend ranks all, the language model puts the blend's best in a new order, as far as time allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from liverank.ranking import arrays
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_signals import centred
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode
from liverank.ranking.protocol import Ranker, Request, Scores, ranking

if TYPE_CHECKING:
    from liverank.ranking.lm.ranker import LmRanker

SIGNALS: Final = ("blend", "lm", "lm, sure")
"""What the order of the best is weighed from: the blend's scores, the language model's, both centred within the best;
and the language model's times how far its best stands out, since a model that can tell says so by its spread."""
PRIOR: Final = np.asarray([1.0, 0.0, 0.0], np.float32)
"""The blend's order as it is."""
_WEIGHT_OF_DEARER: Final = 0.5
_WEIGHT_OF_CHEAPER: Final = 0.1
"""Of a measured cost in the running mean of costs."""
_FORGETTING: Final = 0.99
"""What costs are multiplied by for each list that there was no time for."""
_RESERVE: Final = 1.25
"""Costs are reckoned so much higher than they were: what is late is worth nothing."""
_A_ROUNDING: Final = 1e-9
"""Seconds by which a sum of costs may miss what it is."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one list cost, in seconds."""

    history: float = 0.0
    """0 where it was known."""
    scoring: float = 0.0
    candidates: int = 0
    """That had a text to read."""
    preparing: float = 0.0
    """For those of them that were read for the first time, before they were scored."""
    unread: int = 0
    """How many these were."""


@dataclass(frozen=True, slots=True)
class Rescored:
    """Scores of a list, and how far the language model got."""

    scores: Scores
    read: int
    """Candidates that the language model scored."""
    wanted: int
    """Candidates that it would have scored with time enough."""


class CascadeRanker:
    """The blend's scores, with those of its best dealt out anew.

    The best `top` candidates by the blend are ordered by a weighted sum of `SIGNALS`, and get each other's scores in
    that order: they stay before all others, and scores stay on the blend's scale.
    """

    name = "cascade"

    def __init__(self, blend: BlendRanker, lm: LmRanker, weights: Floats, top: int) -> None:
        self.blend, self.lm, self.weights, self.top = blend, lm, weights, top
        self.costs = Costs()

    @property
    def count(self) -> Any:
        """The blend's count ranker."""
        return self.blend.count

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        encoded = [encode(self.count.catalogue, request) for request in requests]
        return self.rescored(encoded, self.blend.combine(encoded, self.blend.signals(encoded)))

    def rescored(self, requests: Sequence[EncodedRequest], scores: Sequence[Scores]) -> list[Scores]:
        """The blend's scores of these requests after the language model has looked at the best, without a deadline."""
        return [self.rescore(request, of).scores for request, of in zip(requests, scores, strict=True)]

    def rescore(self, request: EncodedRequest, scores: Scores, seconds: float | None = None) -> Rescored:
        """As `rescored`, of one request, with as many of the best as its time allows; at least two, or none.

        Args:
            request: looked up in this catalogue.
            scores: the blend's, `[candidates]`.
            seconds: that are left; None: as many as it takes.
        """
        wanted = min(self.top, len(scores))
        if wanted < 2 or not len(request.history):
            return Rescored(scores, 0, 0)
        order = self.best(scores, wanted)
        possible = wanted if seconds is None else self.costs.affordable(seconds, wanted)
        if seconds is not None and possible >= 2:  # asked only then: it waits for whoever is reading
            possible = self.costs.affordable(seconds, wanted, self.lm.unread(request, order))
        if possible < 2:
            if seconds and seconds > 0:
                self.costs.relax()
            return Rescored(scores, 0, wanted)
        best = order[:possible]
        read, took = self.lm.measured(request, best)
        self.costs.note(took)
        return Rescored(dealt(scores, best, cascade_signals(scores[best], read) @ self.weights), possible, wanted)

    def best(self, scores: Scores, most: int | None = None) -> Rows:
        """Places of the best by the blend's scores, the best first: `top`, or fewer."""
        return ranking(scores)[: self.top if most is None else most].astype(np.int64)

    def beside(self, request: EncodedRequest, scores: Scores) -> dict[str, Scores]:
        """The blend's scores of a request, with its best in the cascade's order and in the language model's own."""
        if min(self.top, len(scores)) < 2 or not len(request.history):
            return {self.name: scores, self.lm.name: scores}
        best = self.best(scores)
        read = self.lm.score_some(request, best)
        weighed = cascade_signals(scores[best], read) @ self.weights
        return {self.name: dealt(scores, best, weighed), self.lm.name: dealt(scores, best, read)}

    def at_depths(self, request: EncodedRequest, scores: Scores, depths: Sequence[int]) -> list[Scores]:
        """Scores as `rescore` gives them where so many of the best can be read; each is read once for all depths."""
        most = max(depths)
        if most < 2 or not len(request.history):
            return [scores] * len(depths)
        order = self.best(scores, most)
        read = self.lm.score_some(request, order)
        found = []
        for depth in depths:
            best = order[:depth]
            signals = cascade_signals(scores[best], read[:depth])
            found.append(dealt(scores, best, signals @ self.weights) if depth > 1 else scores)
        return found

    def warm(self, request: EncodedRequest) -> None:
        """Measures on a request what reading costs, so that the first deadline is kept too."""
        places = np.arange(min(self.top, len(request.candidates)))
        if len(places) and len(request.history):
            self.costs.begin(self.lm.cost(request, places))

    def on(self, catalogue: Catalogue, changed: Rows) -> CascadeRanker:
        """The same cascade over another catalogue."""
        return self.over_blend(self.blend.on(catalogue, changed), self.lm.on(catalogue, changed))

    def over(self, rankers: Mapping[str, Any]) -> CascadeRanker:
        """The same weights over rankers of the same names, `lm` and `blend` among them."""
        return self.over_blend(rankers["blend"], rankers["lm"])

    def over_blend(self, blend: BlendRanker, lm: LmRanker) -> CascadeRanker:
        """The same weights over another blend and model."""
        moved = CascadeRanker(blend, lm, self.weights, self.top)
        moved.costs = self.costs
        return moved

    def save(self, folder: Path) -> None:
        """Writes the weights; the rankers are the bundle's."""
        arrays.write(folder, {"weights": self.weights}, {"signals": list(SIGNALS), "top": self.top})

    @classmethod
    def load(cls, folder: Path, rankers: Mapping[str, Any]) -> CascadeRanker:
        """The cascade that `save` wrote, over the rankers of its bundle.

        Raises:
            ValueError: it was written with other signals.
        """
        data, settings = arrays.read(folder)
        if settings["signals"] != list(SIGNALS):
            raise ValueError(f"the cascade wants the signals {settings['signals']}, this version has {list(SIGNALS)}")
        return cls(rankers["blend"], rankers["lm"], data["weights"], int(settings["top"]))


def blend_of(ranker: Ranker) -> BlendRanker | None:
    """The blend that a ranker is, or begins with; None where it has none."""
    blend = ranker.blend if isinstance(ranker, CascadeRanker) else ranker
    return blend if isinstance(blend, BlendRanker) else None


def cascade_signals(blend: Scores, lm: Scores) -> Floats:
    """`SIGNALS` of the best, `[candidates, signals]`."""
    read = centred(lm)
    sure = read * np.float32(min(3.0, float(read.max(initial=0.0))))
    return np.stack([centred(blend), read, sure], 1).astype(np.float32)


def dealt(scores: Scores, best: Rows, order: Scores) -> Scores:
    """Scores in which the candidates `best` have each other's, the highest for the first by `order`.

    `best` are in the order of `scores`, which so decides between equals.
    """
    given = scores.copy()
    given[best[ranking(order)]] = np.sort(scores[best])[::-1]
    return given


class Costs:
    """What reading costs on this machine: running means of seconds for a history and for a candidate.

    A dear measurement counts at once, a cheap one by and by; where nothing can be afforded any more they fall until it
    is tried again, so that one slow moment does not end re-ranking for good.
    """

    def __init__(self) -> None:
        self.history: float | None = None
        self.candidate = 0.0
        self.unread = 0.0
        """Of a candidate that is read for the first time, beside what scoring it costs."""

    def start(self, candidates: int, history: float, scoring: float) -> None:
        """Takes a measurement as it is."""
        self.history, self.candidate = history, scoring / max(1, candidates)

    def begin(self, took: Took) -> None:
        """Takes what a list cost as it is; a text costs no more than a history, where none was read the first time."""
        self.start(took.candidates, took.history, took.scoring)
        self.unread = took.preparing / took.unread if took.unread else took.history

    def note(self, took: Took) -> None:
        """Takes in what a list cost: its history where that was read rather than known, and its candidates."""
        if self.history is None:
            if took.candidates:
                self.begin(took)
            return
        if took.history:
            self.history = _moved(self.history, took.history)
        if took.candidates:
            self.candidate = _moved(self.candidate, took.scoring / took.candidates)
        if took.unread:
            self.unread = _moved(self.unread, took.preparing / took.unread)

    def relax(self) -> None:
        """Costs a little less than before: nothing could be afforded."""
        if self.history is not None:
            self.history, self.candidate = self.history * _FORGETTING, self.candidate * _FORGETTING
            self.unread *= _FORGETTING

    def affordable(self, seconds: float, most: int, unread: Sequence[bool] = ()) -> int:
        """How many of so many candidates can be read in some seconds; before anything was measured none.

        Args:
            seconds: that are left.
            most: candidates to read.
            unread: of each, in the order in which they are read, whether it was never read before; empty: none is.
        """
        if self.history is None or self.candidate <= 0:
            return 0
        costs = np.full(most, self.candidate)
        if len(unread):
            costs += self.unread * np.asarray(unread, np.float64)
        return int(np.count_nonzero(self.history + np.cumsum(costs) <= seconds / _RESERVE + _A_ROUNDING))


def _moved(mean: float, value: float) -> float:
    """A running mean after one more value: half of the way up, at most to twice of it, a tenth of the way down."""
    weight = _WEIGHT_OF_DEARER if value > mean else _WEIGHT_OF_CHEAPER
    return min(mean + weight * (value - mean), 2 * mean) if mean > 0 else value
