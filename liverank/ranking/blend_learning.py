"""How the blend's weights are learned, from validation lists and what was answered in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from liverank.ranking import count
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_signals import FEATURE_PREFIX, FEATURES, INCOMING, LEAST_LISTS, NEW, SEGMENTS
from liverank.ranking.cold_price import open_to_new
from liverank.ranking.count import segment
from liverank.ranking.data import EncodedRequest, Floats, LabelledRequest, encode
from liverank.ranking.listwise import Lists, learn_weights, mean_ndcg, thinned, to_lists

STRENGTH: Final = 10.0
_PRIOR: Final = {"zero-shot": 0.2, "linear": 0.5, "interest": 0.8}


@dataclass(frozen=True)
class BlendReport:
    """What learning the weights found."""

    ndcg: dict[str, float]
    """Validation NDCG@10 of the blend and of each single ranker."""
    weights: dict[str, dict[str, float]]
    """Segment -> signal or product -> weight."""
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
    blend.weights, lists, notes = _learned(blend, requests, signals, labels)
    ndcg = _single_ndcg(blend, requests, signals, labels)
    ndcg["blend"] = mean_ndcg(blend.combine(requests, signals), labels)
    _no_worse_than_single(blend, ndcg, notes)
    if cold_price:
        ndcg["blend"] = open_to_new(blend, requests, signals, labels, cold_price, notes)
    return BlendReport(ndcg, _named(blend), lists, notes)


def relearned(
    blend: BlendRanker, requests: Sequence[EncodedRequest], signals: Sequence[Floats], labels: Sequence[Floats]
) -> Floats:
    """Weights `[segments, weights]` learned on these lists as `fit_blend` learns them, without its fall-back.

    Signals may be blanked, all 0, to learn what the others do without them.
    """
    return _learned(blend, requests, signals, labels)[0]


def _prior(blend: BlendRanker) -> Floats:
    prior = np.zeros((len(SEGMENTS), len(blend.weight_names)), np.float32)
    prior[:, : len(count.SIGNALS)] = blend.count.weights
    for name, weight in _PRIOR.items():
        if name in blend.rankers:
            prior[1, blend.signal_names.index(name)] = weight
    return prior


def _learned(
    blend: BlendRanker, requests: Sequence[EncodedRequest], signals: Sequence[Floats], labels: Sequence[Floats]
) -> tuple[Floats, dict[str, int], list[str]]:
    prior = _prior(blend)
    weights, sizes, notes = prior.copy(), {}, []
    for at, name in enumerate(SEGMENTS):
        chosen = [i for i, request in enumerate(requests) if segment(request) == at]
        lists = _lists(blend, [signals[i] for i in chosen], [labels[i] for i in chosen], prior[at])
        sizes[name] = len(lists)
        if len(lists) < LEAST_LISTS:
            notes.append(f"{name}: {len(lists)} validation lists with a positive are too few, the prior weights stay")
        else:
            weights[at] = learn_weights(lists, prior[at], STRENGTH)
    return weights, sizes, notes


def _lists(blend: BlendRanker, signals: Sequence[Floats], labels: Sequence[Floats], prior: Floats) -> Lists:
    rows, kept_labels, stands = [], [], []
    for signal, label in zip(signals, labels, strict=True):
        weighed = blend.weighed(signal)
        kept, stand = thinned(weighed @ prior, label)
        rows.append(weighed[kept])
        kept_labels.append(label[kept])
        stands.append(stand)
    return to_lists(rows, kept_labels, stands)


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
        name: {signal: round(float(weight), 4) for signal, weight in zip(blend.weight_names, row, strict=True)}
        for name, row in zip(SEGMENTS, blend.weights, strict=True)
    }
