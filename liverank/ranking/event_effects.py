"""What a user's own events do to the scores of some items: each score with all events minus that without one item's.

An ablation of the blend. Events of the same item are left out together: a ranker counts a second view of an item for
little beside the first, so that each of them alone would seem to matter less than they do. Held while events are left
out is all that belongs to the list as it was served: what its signals are scaled by (`Scales`: the largest of its
transitions, texts and linear weights, means and deviation of its similarities, mean and best of its logits) and the
weights, those of returning users, also where the last event goes. So an effect is that of the events on this item, and
not what they do to the others, and only the items asked about are scored again.

Effects of several items do not add up to that of all of them where they say the same: without either, the other
still speaks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_signals import INCOMING, NEW
from liverank.ranking.count import evidence, segment
from liverank.ranking.data import EncodedRequest, Floats, Rows, over_history
from liverank.ranking.protocol import Candidates, History, Scores
from liverank.ranking.scales import Scales
from liverank.ranking.sparse import block

Doubles = npt.NDArray[np.float64]

FIXED: Final = (NEW, INCOMING)
"""Signals that no event of the user has a part in."""
MOST_NAMED: Final = 3
"""Causes that are named for an item."""
OWN: Final = 0.3
"""What it counts to be one of the candidates beside the shares, when it is guessed which events matter most."""
LEAST_EFFECT: Final = 0.01
"""Below it an effect is no reason: scores are logarithms of odds, so this changes the item's odds by one per cent."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The events of a history with one item."""

    item_id: str
    type: str
    """Of the strongest of them, the latest of equals; so is the next."""
    timestamp: float
    events: int
    evidence: float
    """Weight of the strongest, the heaviest type as 1; 0 where all of them speak against the item."""


class ScoredList:
    """The blend's scores of one request, which can be scored again without some events."""

    def __init__(self, blend: BlendRanker, request: EncodedRequest) -> None:
        self.blend, self.request = blend, request
        self._scales = Scales()
        self.signals = blend.signals([request], scales=[self._scales])[0]
        """`[candidates, signals]`."""
        self.scores: Scores = self._scored(self.signals)

    def causes(self) -> list[Cause]:
        """The items that the user had and the model knows, the latest first."""
        request = self.request
        names, weight = self.blend.count.catalogue.item_ids, evidence(request, self.blend.count.type_weights)
        found: dict[int, Cause] = {}
        for at in reversed(range(len(request.history))):
            row, told = int(request.history[at]), float(weight[at])
            known = found.get(row)
            if known is not None and known.evidence >= told:
                found[row] = replace(known, events=known.events + 1)
            else:
                events = 1 if known is None else known.events + 1
                found[row] = Cause(names[row], request.types[at], float(request.times[at]), events, told)
        return list(found.values())

    def likeliest(self, places: Rows, most: int) -> list[Cause]:
        """At most `most` causes, those first that are likely to matter most for the candidates in some places.

        Guessed from what ablation would take longer to find: how strongly each item asks for the candidates by
        transitions, and how alike they are and how long ago it was, both as a share of what all items ask; and whether
        it is one of the candidates.
        """
        causes = self.causes()
        if len(causes) <= most:
            return causes
        index = self.blend.count.catalogue.index
        rows, wanted = np.asarray([index[one.item_id] for one in causes]), self.request.candidates[places]
        known = wanted[wanted >= 0]
        age, told = self._ages(rows), np.asarray([one.evidence for one in causes])
        followed = block(self.blend.count.transitions, rows, known) * (told * age)[:, None]
        alike = np.maximum(_alike(self.blend, rows, known), 0) * age[:, None]
        bound = _shares(followed) + _shares(alike) + OWN * np.isin(rows, wanted)
        return [causes[at] for at in np.argsort(-bound, kind="stable")[:most].tolist()]

    def _ages(self, rows: Rows) -> Doubles:
        """Of each item that the user had what a query leaves of its latest event, `[rows]`."""
        place = {row: at for at, row in enumerate(rows.tolist())}
        ages = np.zeros(len(rows))
        decayed = self.blend.count.config.query_decay**self.request.steps_back
        np.maximum.at(ages, [place[row] for row in self.request.history.tolist()], decayed)
        return ages

    def effects(self, places: Rows, causes: Sequence[Cause]) -> Floats:
        """What each cause adds to the scores of the candidates in some places, `[causes, places]`."""
        return self.scores[places] - self.without(places, [[one.item_id] for one in causes])

    def without(self, places: Rows, left_out: Sequence[Collection[str]]) -> Floats:
        """Scores of the candidates in some places, `[left_out, places]`, each time without the events of some items."""
        part = self._part(places)
        again = [self._again(part, frozenset(items)) for items in left_out]
        if not again or not len(places):
            return np.zeros((len(again), len(places)), np.float32)
        found = self.blend.signals(again, scales=[self._scales] * len(again))
        fixed = [at for at, name in enumerate(self.blend.signal_names) if name in FIXED]
        for signals in found:
            signals[:, fixed] = self.signals[places][:, fixed]
        return np.stack([self._scored(signals) for signals in found])

    def _part(self, places: Rows) -> EncodedRequest:
        """The request for the candidates in some places alone."""
        given = self.request.request.candidates
        part = Candidates([given.item_ids[at] for at in places.tolist()], given.texts)
        asked = replace(self.request.request, candidates=part)
        return replace(self.request, request=asked, candidates=self.request.candidates[places])

    def _again(self, part: EncodedRequest, items: frozenset[str]) -> EncodedRequest:
        """The same with a history that lacks the events of some items."""
        past = without_items(part.request.history, items)
        return over_history(self.blend.count.catalogue, replace(part.request, history=past), part.candidates)

    def _scored(self, signals: Floats) -> Scores:
        weights = self.blend.weights[segment(self.request)]
        scores: Scores = np.vecdot(self.blend.weighed(signals, self._scales), weights)
        return scores


def named(causes: Sequence[Cause], effects: Floats) -> list[tuple[Cause, float]]:
    """The causes that moved one item's score most, either way, with their effects; `effects` is `[causes]`."""
    largest = np.argsort(-np.abs(effects), kind="stable")[:MOST_NAMED].tolist()
    return [(causes[at], float(effects[at])) for at in largest if abs(effects[at]) >= LEAST_EFFECT]


def without_items(history: History, items: Collection[str]) -> History:
    """The history without the events of some items."""
    kept = [at for at, item in enumerate(history.item_ids) if item not in items]
    columns: tuple[Sequence[Any], ...] = (history.item_ids, history.types, history.timestamps)
    ids, types, times = ([of[at] for at in kept] if len(of) else of for of in columns)
    return History(ids, types, times)


def _alike(blend: BlendRanker, rows: Rows, wanted: Rows) -> Floats:
    """Cosines of some items with others, by the interest model's vectors or else by their texts', `[rows, wanted]`."""
    if "interest" in blend.rankers:
        table = blend.rankers["interest"].table
        left, right = table.rows(rows), table.rows(wanted)
    else:
        left, right = blend.count.catalogue.embedded[rows], blend.count.catalogue.embedded[wanted]
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)
    found: Floats = (left @ right.T) / np.maximum(lengths, 1e-9)
    return found


def _shares(asks: Doubles) -> Doubles:
    """Mean share of each row in the sum of every column, `[rows]`; 0 without columns."""
    whole = asks.sum(0)
    shares = np.divide(asks, whole, out=np.zeros_like(asks), where=whole > 0)
    return np.asarray(shares.sum(1) / max(1, asks.shape[1]))
