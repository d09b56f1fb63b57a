"""The blend: all signals in one weighted sum, with weights learned from what users answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from liverank.ranking import arrays, count
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.blend_signals import FEATURE_PREFIX as FEATURE_PREFIX
from liverank.ranking.blend_signals import FEATURES as FEATURES
from liverank.ranking.blend_signals import INCOMING, NEW, OTHERS, SEGMENTS, centred, standard
from liverank.ranking.blend_signals import LEAST_LISTS as LEAST_LISTS
from liverank.ranking.cold_price import open_to_new
from liverank.ranking.count import CountRanker, segment
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, LabelledRequest, Rows, encode
from liverank.ranking.listwise import learn_weights, mean_ndcg, to_lists
from liverank.ranking.protocol import Request, Scores

STRENGTH = 10.0
_PRIOR = {"zero-shot": 0.2, "linear": 0.5, "interest": 0.8}


class BlendRanker:
    """Weighted sum of the count ranker's signals, the other rankers' scores and the proposer's.

    Zero-shot and incoming scores are standardised within the request (mean 0, deviation 1). The interest model's are
    logits of a softmax, whose spread says how sure it is: they keep it and lose only their mean. The linear ranker's
    are log-scaled, as the count ranker's are. `NEW` is 1 for an item without a training event whose
    text is known. Features of candidates are scaled as training learned it. Users without a history have weights of
    their own.
    """

    name = "blend"

    def __init__(self, rankers: Mapping[str, Any], weights: Floats, uses_incoming: bool = False) -> None:
        self.rankers = {name: rankers[name] for name in ("count", *OTHERS, FEATURES) if name in rankers}
        self.weights = weights
        self.uses_incoming = uses_incoming
        # Found here, once for a catalogue, so that no request waits for it.
        self._is_new = self.count.catalogue.is_new

    @property
    def count(self) -> CountRanker:
        """The ranker whose signals it shares."""
        return cast(CountRanker, self.rankers["count"])

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The columns of `signals`, in order."""
        others = tuple(name for name in OTHERS if name in self.rankers)
        featured = self.rankers[FEATURES].signal_names if FEATURES in self.rankers else ()
        features = tuple(FEATURE_PREFIX + name for name in featured)
        return (*count.SIGNALS, *others, NEW, *features, *((INCOMING,) if self.uses_incoming else ()))

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        encoded = [encode(self.count.catalogue, request) for request in requests]
        return self.combine(encoded, self.signals(encoded))

    def combine(self, requests: Sequence[EncodedRequest], signals: Sequence[Floats]) -> list[Scores]:
        """Scores from signals that are at hand.

        Row by row: a product of matrices may sum a row differently in another place of the list, and a candidate's
        score must not depend on the order of the others.
        """
        pairs = zip(requests, signals, strict=True)
        return [np.vecdot(row, self.weights[segment(request)]) for request, row in pairs]

    def signals(self, requests: Sequence[EncodedRequest], counted: Sequence[Floats] | None = None) -> list[Floats]:
        """All signals as the weights meet them: a list of `[candidates, signals]` arrays.

        `counted` are the count ranker's, where they are at hand: of all items it has them at once (`all_signals`).
        """
        columns = [self.count.signals(requests) if counted is None else list(counted)]
        if "zero-shot" in self.rankers:
            columns.append([standard(self.rankers["zero-shot"].similarity(request)) for request in requests])
        if "linear" in self.rankers:
            columns.append(self.rankers["linear"].score_encoded(requests))
        if "interest" in self.rankers:
            columns.append([centred(scores) for scores in self.rankers["interest"].score_encoded(requests)])
        columns.append([self._new(request) for request in requests])
        if FEATURES in self.rankers:
            columns.append(self.rankers[FEATURES].signals(requests))
        if self.uses_incoming:
            columns.append([standard(incoming_scores(request.request.candidates)) for request in requests])
        return [np.column_stack(parts).astype(np.float32) for parts in zip(*columns, strict=True)]

    def _new(self, request: EncodedRequest) -> Floats:
        """1 for candidates without a training event that a text tells of, `[candidates]`."""
        rows = request.candidates
        new = self._is_new[rows] & (rows >= 0)
        given = request.request.candidates
        for at in np.flatnonzero(rows < 0).tolist():
            new[at] = bool(given.texts.get(given.item_ids[at], ""))
        return new.astype(np.float32)

    def on(self, catalogue: Catalogue, changed: Rows) -> BlendRanker:
        """The same weights over rankers moved to another catalogue."""
        return self.over({name: ranker.on(catalogue, changed) for name, ranker in self.rankers.items()})

    def over(self, rankers: Mapping[str, Any]) -> BlendRanker:
        """The same weights over rankers of the same names."""
        return BlendRanker(rankers, self.weights, self.uses_incoming)

    def save(self, folder: Path) -> None:
        """Writes the weights; the rankers are the bundle's."""
        arrays.write(folder, {"weights": self.weights}, {"signals": list(self.signal_names)})

    @classmethod
    def load(cls, folder: Path, rankers: Mapping[str, Any]) -> BlendRanker:
        """The blend that `save` wrote, over the rankers of its bundle."""
        data, settings = arrays.read(folder)
        blend = cls(rankers, data["weights"], INCOMING in settings["signals"])
        if list(blend.signal_names) != settings["signals"]:
            raise ValueError(f"the blend wants the signals {settings['signals']}, the bundle has {blend.signal_names}")
        return blend


@dataclass(frozen=True)
class BlendReport:
    """What learning the weights found."""

    ndcg: dict[str, float]
    """Validation NDCG@10 of the blend and of each single ranker."""
    weights: dict[str, dict[str, float]]
    """Segment -> signal -> weight."""
    lists: dict[str, int]
    """Validation lists with a positive, by segment."""
    notes: list[str]


def fit_blend(
    rankers: Mapping[str, Any], validation: Sequence[LabelledRequest], cold_price: float = 0.0
) -> tuple[BlendRanker, BlendReport]:
    """Learns the weights on validation requests; never worse there than the best single ranker that re-ranks.

    But for `cold_price`, the share of the NDCG on items with training events that those without may cost.

    The incoming scores take part where most lists come with some that were shown to users (`impressions`): a
    retriever's own order says nothing that the count signals do not.

    Labels are taken as they are: users see the top of a list first, so clicks favour the order that was shown. Where
    that was the proposer's, the incoming scores get too much weight and lists are moved less than they should be; where
    it was a ranker's, the signals which that ranker followed do. Neither is corrected here.
    """
    shown = sum(labelled.source == "impressions" for labelled in validation)
    blend = BlendRanker(rankers, np.zeros((2, 0), np.float32), uses_incoming=shown * 2 > len(validation))
    requests = [encode(blend.count.catalogue, labelled.request) for labelled in validation]
    labels = [labelled.labels for labelled in validation]
    return blend, learn_blend(blend, requests, blend.signals(requests), labels, cold_price)


def learn_blend(
    blend: BlendRanker,
    requests: Sequence[EncodedRequest],
    signals: Sequence[Floats],
    labels: Sequence[Floats],
    cold_price: float = 0.0,
) -> BlendReport:
    """Gives a blend the weights that `fit_blend` learns, from signals that are at hand.

    Args:
        blend: whose weights are set; those it has are not read.
        requests: say whether the user has a history.
        signals: of each request, as `blend.signals` makes them, `[candidates, signals]` each.
        labels: 1 for what was answered positively, `[candidates]` each.
        cold_price: as in `fit_blend`.
    """
    blend.weights, lists, notes = _learned(requests, signals, labels, _prior(blend))
    ndcg = _single_ndcg(blend, requests, signals, labels)
    ndcg["blend"] = mean_ndcg(blend.combine(requests, signals), labels)
    _no_worse_than_single(blend, ndcg, notes)
    if cold_price:
        ndcg["blend"] = open_to_new(blend, requests, signals, labels, cold_price, notes)
    return BlendReport(ndcg, _named(blend), lists, notes)


def relearned(
    blend: BlendRanker, requests: Sequence[EncodedRequest], signals: Sequence[Floats], labels: Sequence[Floats]
) -> Floats:
    """Weights `[segments, signals]` learned on these lists as `fit_blend` learns them, without its fall-back.

    Signals may be blanked, all 0, to learn what the others do without them.
    """
    return _learned(requests, signals, labels, _prior(blend))[0]


def _prior(blend: BlendRanker) -> Floats:
    prior = np.zeros((len(SEGMENTS), len(blend.signal_names)), np.float32)
    prior[:, : len(count.SIGNALS)] = blend.count.weights
    for name, weight in _PRIOR.items():
        if name in blend.rankers:
            prior[1, blend.signal_names.index(name)] = weight
    return prior


def _learned(
    requests: Sequence[EncodedRequest], signals: Sequence[Floats], labels: Sequence[Floats], prior: Floats
) -> tuple[Floats, dict[str, int], list[str]]:
    weights, sizes, notes = prior.copy(), {}, []
    for at, name in enumerate(SEGMENTS):
        chosen = [i for i, request in enumerate(requests) if segment(request) == at]
        lists = to_lists([signals[i] for i in chosen], [labels[i] for i in chosen])
        sizes[name] = len(lists)
        if len(lists) < LEAST_LISTS:
            notes.append(f"{name}: {len(lists)} validation lists with a positive are too few, the prior weights stay")
        else:
            weights[at] = learn_weights(lists, prior[at], STRENGTH)
    return weights, sizes, notes


def _single_ndcg(
    blend: BlendRanker, requests: Sequence[EncodedRequest], signals: Sequence[Floats], labels: Sequence[Floats]
) -> dict[str, float]:
    names = blend.signal_names
    width = len(count.SIGNALS)
    counted = [row[:, :width] @ blend.count.weights[segment(at)] for at, row in zip(requests, signals, strict=True)]
    popular = names.index("popularity")
    result = {
        "count": mean_ndcg(counted, labels),
        "popularity": mean_ndcg([row[:, popular] for row in signals], labels),
    }
    for at in range(width, len(names)):
        if not names[at].startswith(FEATURE_PREFIX) and names[at] != NEW:
            result[names[at]] = mean_ndcg([row[:, at] for row in signals], labels)
    if FEATURES in blend.rankers:
        weights, columns = blend.rankers[FEATURES].weights, _feature_columns(names)
        pairs = zip(requests, signals, strict=True)
        result[FEATURES] = mean_ndcg([row[:, columns] @ weights[segment(at)] for at, row in pairs], labels)
    return result


def _feature_columns(names: Sequence[str]) -> list[int]:
    return [at for at, name in enumerate(names) if name.startswith(FEATURE_PREFIX)]


def _no_worse_than_single(blend: BlendRanker, ndcg: dict[str, float], notes: list[str]) -> None:
    """Falls back to the best single ranker, but never to the incoming order, which would be a model that does nothing.

    Clicks favour the order that was shown, so on lists shown as they came in it wins for where it put the items.
    """
    best = max((name for name in ndcg if name != INCOMING), key=lambda name: (ndcg[name], name == "blend"))
    if ndcg.get(INCOMING, 0.0) > ndcg[best]:
        notes.append("the incoming order did best on validation, but alone it would re-rank nothing: it is passed over")
    if best == "blend":
        return
    names = blend.signal_names
    weights = np.zeros_like(blend.weights)
    if best == "count":
        weights[:, : len(count.SIGNALS)] = blend.count.weights
    elif best == FEATURES:
        weights[:, _feature_columns(names)] = blend.rankers[FEATURES].weights
    else:
        weights[:, names.index(best)] = 1.0
    blend.weights, ndcg["blend"] = weights, ndcg[best]
    notes.append(f"the learned weights did not beat {best} on validation: the blend is {best} alone")


def _named(blend: BlendRanker) -> dict[str, dict[str, float]]:
    return {
        name: {signal: round(float(weight), 4) for signal, weight in zip(blend.signal_names, row, strict=True)}
        for name, row in zip(SEGMENTS, blend.weights, strict=True)
    }
