"""The blend: all signals in one weighted sum, with weights learned from what users answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from liverank.ranking import arrays, count
from liverank.ranking.baselines import incoming_scores
from liverank.ranking.blend_signals import (
    FEATURE_PREFIX,
    FEATURES,
    INCOMING,
    NEW,
    OTHERS,
    centred,
    paired,
    product_names,
    standard,
    with_products,
)
from liverank.ranking.count import CountRanker, segment
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode, texts_of_unknown
from liverank.ranking.protocol import Request, Scores
from liverank.ranking.scales import Scales


class BlendRanker:
    """Weighted sum of the count ranker's signals, the other rankers' scores, the proposer's, and products of some.

    Zero-shot and incoming scores are standardised within the request (mean 0, deviation 1). The interest model's are
    logits of a softmax, whose spread says how sure it is: they keep it and lose only their mean. The linear ranker's
    are log-scaled, as the count ranker's are. `NEW` is 1 for an item without a training event whose text is known.
    Features of candidates are scaled as training learned it. Users without a history have weights of their own.
    """

    name = "blend"

    def __init__(self, rankers: Mapping[str, Any], weights: Floats, uses_incoming: bool = False) -> None:
        self.rankers = {name: rankers[name] for name in ("count", *OTHERS, FEATURES) if name in rankers}
        self.weights = weights
        self.uses_incoming = uses_incoming
        self._paired = paired(self.signal_names)
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

    @property
    def weight_names(self) -> tuple[str, ...]:
        """What each weight is of: the signals, then the products (`blend_signals.with_products`)."""
        return (*self.signal_names, *product_names(self.signal_names))

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
        return [np.vecdot(self.weighed(row), self.weights[segment(request)]) for request, row in pairs]

    def weighed(self, signals: Floats, scales: Scales | None = None) -> Floats:
        """What the weights are for: the signals of a list and their products, `[candidates, weights]`."""
        return with_products(signals, self._paired, self.signal_names, scales)

    def contributions(self, request: EncodedRequest, signals: Floats | None = None) -> Floats:
        """What each signal adds to each score, `[candidates, signals]`; of a product each of the two has half.

        `signals` are those of the request, where they are at hand.
        """
        signals = self.signals([request])[0] if signals is None else signals
        added = self.weighed(signals) * self.weights[segment(request)]
        width = len(self.signal_names)
        parts, at = added[:, :width].copy(), width
        for place, one in enumerate(self._paired):
            for other in self._paired[place:]:
                parts[:, one] += added[:, at] / 2
                parts[:, other] += added[:, at] / 2
                at += 1
        return parts

    def signals(
        self,
        requests: Sequence[EncodedRequest],
        counted: Sequence[Floats] | None = None,
        scales: Sequence[Scales] | None = None,
    ) -> list[Floats]:
        """All signals as the weights meet them: a list of `[candidates, signals]` arrays.

        Args:
            requests: looked up in the catalogue.
            counted: the count ranker's signals, where they are at hand: of all items it has them at once
                (`all_signals`).
            scales: of each request, in the place of those of its list where they hold any, and to be had again.
        """
        held = [Scales() for _ in requests] if scales is None else scales
        columns = [self.count.signals(requests, held) if counted is None else list(counted)]
        if "zero-shot" in self.rankers:
            alike = [self.rankers["zero-shot"].similarity(request) for request in requests]
            columns.append([standard(one, of, "zero-shot") for one, of in zip(alike, held, strict=True)])
        if "linear" in self.rankers:
            scored = self.rankers["linear"].score_encoded
            columns.append(scored(requests) if scales is None else scored(requests, scales))
        if "interest" in self.rankers:
            logits = self.rankers["interest"].score_encoded(requests)
            columns.append([centred(one, of, "interest") for one, of in zip(logits, held, strict=True)])
        columns.append([self._new(request) for request in requests])
        if FEATURES in self.rankers:
            columns.append(self.rankers[FEATURES].signals(requests))
        if self.uses_incoming:
            given = [incoming_scores(request.request.candidates) for request in requests]
            columns.append([standard(one, of, INCOMING) for one, of in zip(given, held, strict=True)])
        return [np.column_stack(parts).astype(np.float32) for parts in zip(*columns, strict=True)]

    def _new(self, request: EncodedRequest) -> Floats:
        """1 for candidates without a training event that a text tells of, `[candidates]`."""
        rows = request.candidates
        new = self._is_new[rows] & (rows >= 0)
        new[list(texts_of_unknown(request))] = True
        return new.astype(np.float32)

    def on(self, catalogue: Catalogue, changed: Rows) -> BlendRanker:
        """The same weights over rankers moved to another catalogue."""
        return self.over({name: ranker.on(catalogue, changed) for name, ranker in self.rankers.items()})

    def over(self, rankers: Mapping[str, Any]) -> BlendRanker:
        """The same weights over rankers of the same names."""
        return BlendRanker(rankers, self.weights, self.uses_incoming)

    def save(self, folder: Path) -> None:
        """Writes the weights; the rankers are the bundle's."""
        arrays.write(folder, {"weights": self.weights}, {"signals": list(self.weight_names)})

    @classmethod
    def load(cls, folder: Path, rankers: Mapping[str, Any]) -> BlendRanker:
        """The blend that `save` wrote, over the rankers of its bundle."""
        data, settings = arrays.read(folder)
        blend = cls(rankers, data["weights"], INCOMING in settings["signals"])
        if list(blend.signal_names) == settings["signals"]:  # written when there were no products
            more = len(blend.weight_names) - len(blend.signal_names)
            blend.weights = np.pad(blend.weights, ((0, 0), (0, more)))
        elif list(blend.weight_names) != settings["signals"]:
            raise ValueError(f"the blend wants the signals {settings['signals']}, the bundle has {blend.weight_names}")
        return blend
