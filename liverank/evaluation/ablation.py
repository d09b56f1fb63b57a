"""What each part of the blend brings: its weights learned again without it, on the same lists.

No ranker is fitted again: the signals are at hand, and learning the weights takes a fraction of a second. What a part
brings is what the others cannot make up for: two parts that say the same bring little each, and much together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liverank import progress
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Lists
from liverank.evaluation.measure import RANKING
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import relearned
from liverank.ranking.blend_signals import FEATURE_PREFIX, FEATURES
from liverank.ranking.data import EncodedRequest, LabelledRequest, encode
from liverank.ranking.data import Floats as Signals

BATCH = 256
PARTS: Mapping[str, tuple[str, ...]] = {
    "popularity": ("popularity", "established"),
    "repeats": ("had", "repeats", "frequency", "recency"),
}
"""Parts of more than one signal; every other signal is a part by itself, the features of candidates are one."""
TOGETHER: Mapping[str, tuple[str, ...]] = {"text and zero-shot": ("text", "zero-shot")}
"""Parts that can stand in for each other, left out together."""


@dataclass(frozen=True)
class AblationResult:
    """The blend without one part."""

    part: str
    signals: tuple[str, ...]
    mean: Interval
    brings: Interval
    """The whole blend minus the one without the part; paired."""


@dataclass(frozen=True)
class Ablations:
    """The deciding metric of the blend without each of its parts."""

    whole: Interval
    """Learned anew with all parts, as those without one are."""
    served: Interval
    """The blend as it is in the bundle: another one where training fell back to a single ranker."""
    validation_requests: int
    parts: list[AblationResult]


def parts_of(signals: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Part -> its signals, in their order, for the parts that a blend of these signals has.

    >>> parts_of(["transitions", "popularity", "established", "feature:price"])
    {'transitions': ('transitions',), 'popularity': ('popularity', 'established'), 'features': ('feature:price',)}
    """
    owner = {signal: part for part, names in PARTS.items() for signal in names}
    parts: dict[str, tuple[str, ...]] = {}
    for signal in signals:
        part = FEATURES if signal.startswith(FEATURE_PREFIX) else owner.get(signal, signal)
        parts[part] = (*parts.get(part, ()), signal)
    together = {part: names for part, names in TOGETHER.items() if set(names) <= set(signals)}
    return {**parts, **together}


def find_ablations(
    blend: BlendRanker,
    validation: Sequence[LabelledRequest],
    test: Sequence[LabelledRequest],
    lists: Lists,
    metric: str,
    k: int,
    bootstrap: Bootstrap,
) -> Ablations:
    """Learns the weights on `validation` without each part and judges them on `test`, whose lists are `lists`."""
    parts = parts_of(blend.signal_names)
    with progress.stage("ablations", total=len(validation) + len(test) + len(parts)) as stage:
        known, asked = (_signals(blend, requests, stage) for requests in (validation, test))
        labels = [labelled.labels for labelled in validation]
        judge = _Judge(blend, known, labels, asked, lists, metric, k)
        served, whole = judge.scored(blend.weights, ()), judge.without(())
        columns = [served, whole]
        for part, names in parts.items():
            columns.append(judge.without(names))
            stage.advance(part=part)
    values = np.column_stack(columns)
    drawn = bootstrap.intervals(np.hstack([values, whole[:, None] - values[:, 2:]]))
    count = len(columns)
    results = [
        AblationResult(part, names, drawn[2 + at], drawn[count + at]) for at, (part, names) in enumerate(parts.items())
    ]
    return Ablations(drawn[1], drawn[0], len(validation), results)


_Known = tuple[list[EncodedRequest], list[Signals]]


def _signals(blend: BlendRanker, requests: Sequence[LabelledRequest], stage: progress.Stage) -> _Known:
    encoded: list[EncodedRequest] = []
    signals: list[Signals] = []
    for start in range(0, len(requests), BATCH):
        batch = [encode(blend.count.catalogue, labelled.request) for labelled in requests[start : start + BATCH]]
        encoded += batch
        signals += blend.signals(batch)
        stage.advance(len(batch))
    return encoded, signals


@dataclass(frozen=True)
class _Judge:
    blend: BlendRanker
    known: _Known
    labels: Sequence[Signals]
    asked: _Known
    lists: Lists
    metric: str
    k: int

    def without(self, names: Sequence[str]) -> Floats:
        """The metric of each test request, `[requests]`, with weights learned without these signals."""
        requests, signals = self.known
        weights = relearned(self.blend, requests, [self._blanked(row, names) for row in signals], self.labels)
        return self.scored(weights, names)

    def scored(self, weights: Signals, names: Sequence[str]) -> Floats:
        requests, signals = self.asked
        blend = BlendRanker(self.blend.rankers, weights, self.blend.uses_incoming)
        scores = blend.combine(requests, [self._blanked(row, names) for row in signals])
        return RANKING[self.metric](self.lists.ranked(scores), self.k)

    def _blanked(self, row: Signals, names: Sequence[str]) -> Signals:
        """A signal that is 0 everywhere takes no part, whatever its weight."""
        if not names:
            return row
        return np.where([name in names for name in self.blend.signal_names], np.float32(0), row)
