"""What each part of the blend brings: its weights learned again without it, on the same lists.

No ranker is fitted again: the signals are at hand, and learning the weights takes a fraction of a second. What a part
brings is what the others cannot make up for: two parts that say the same bring little each, and much together.

The rankers of a bundle may have seen the validation (`training.refit`), so weights cannot be learned there again. They
are learned on the test requests of one half of the users and judged on those of the other, both ways round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.lists import Floats, Lists
from liverank.evaluation.measure import RANKING
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import relearned
from liverank.ranking.blend_signals import FEATURE_PREFIX, FEATURES
from liverank.ranking.data import EncodedRequest, LabelledRequest, encode
from liverank.ranking.data import Floats as Signals
from liverank.ranking.protocol import Scores

BATCH = 256
HALVES_SEED = 19
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
    requests: int
    """Test requests, in two halves of the users."""
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
    requests: Sequence[LabelledRequest],
    lists: Lists,
    metric: str,
    k: int,
    bootstrap: Bootstrap,
) -> Ablations:
    """Learns the weights without each part on half of the requests and judges them on the other, and the other way.

    `lists` are those of the requests.
    """
    parts = parts_of(blend.signal_names)
    with progress.stage("ablations", total=len(requests) + len(parts)) as stage:
        judge = _Judge(blend, requests, *_signals(blend, requests, stage), halves(requests), lists, metric, k)
        served, whole = judge.served(), judge.without(())
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
    return Ablations(drawn[1], drawn[0], len(requests), results)


def halves(requests: Sequence[LabelledRequest]) -> npt.NDArray[np.bool_]:
    """Whether each request is of the second half of the users, drawn at random: a user is all on one side.

    A request without a user is one by itself.
    """
    names = [labelled.request.user_id or f"\0{at}" for at, labelled in enumerate(requests)]
    users, of = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    second = np.random.default_rng(HALVES_SEED).permutation(len(users)) % 2 == 1
    return np.asarray(second[of], bool)


def _signals(
    blend: BlendRanker, requests: Sequence[LabelledRequest], stage: progress.Stage
) -> tuple[list[EncodedRequest], list[Signals]]:
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
    requests: Sequence[LabelledRequest]
    encoded: list[EncodedRequest]
    signals: list[Signals]
    second: npt.NDArray[np.bool_]
    """Which half each request is of."""
    lists: Lists
    metric: str
    k: int

    def served(self) -> Floats:
        """The metric of each request under the bundle's weights, `[requests]`."""
        return self._metric(self.blend.combine(self.encoded, self.signals))

    def without(self, names: Sequence[str]) -> Floats:
        """The metric of each request, `[requests]`, with weights learned on the other half without these signals."""
        signals = [self._blanked(row, names) for row in self.signals]
        scores: dict[int, Scores] = {}
        for judged in (False, True):
            known, asked = (np.flatnonzero(self.second == half).tolist() for half in (not judged, judged))
            labels = [self.requests[at].labels for at in known]
            weights = relearned(self.blend, [self.encoded[at] for at in known], [signals[at] for at in known], labels)
            blend = BlendRanker(self.blend.rankers, weights, self.blend.uses_incoming)
            found = blend.combine([self.encoded[at] for at in asked], [signals[at] for at in asked])
            scores.update(zip(asked, found, strict=True))
        return self._metric([scores[at] for at in range(len(signals))])

    def _metric(self, scores: Sequence[Scores]) -> Floats:
        return RANKING[self.metric](self.lists.ranked(scores), self.k)

    def _blanked(self, row: Signals, names: Sequence[str]) -> Signals:
        """A signal that is 0 everywhere takes no part, whatever its weight."""
        if not names:
            return row
        return np.where([name in names for name in self.blend.signal_names], np.float32(0), row)
