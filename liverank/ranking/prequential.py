"""Prequential evaluation: walk through a stream of baskets, rank all items for each before learning from it.

All that is tuned (weights, epochs) is tuned on the weeks before the cut. Counts are renewed each midnight, a user's
history with each basket.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import DataError
from liverank.ranking import count
from liverank.ranking.basket_stream import DAY, Basket, BasketStream, read_stream
from liverank.ranking.count import PRIOR, CountRanker, segment
from liverank.ranking.data import EncodedRequest, Floats
from liverank.ranking.linear import LinearRanker
from liverank.ranking.listwise import learn_weights, mean_ndcg, to_lists
from liverank.ranking.live_counts import LiveCounts
from liverank.ranking.prequential_tally import K, Tally, Walk
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import decayed_popularity

TEST_SHARE = 0.1
"""Share of the baskets, the latest, that are scored where no cut is given."""
WEIGHT_DAYS = 21
"""Days before the cut whose baskets the weights are learned on."""
WEIGHT_BASKETS = 1200
STRENGTH = 1.0
HALF_LIFE_DAYS = 14
BOUGHT_MOST = "what the customer bought most"
TOGETHER = "co-occurrence + 0.5 TF-IDF + popularity"
BLEND, BLEND_LINEAR, BLEND_ALL = "blend of counts", "blend of counts and linear", "blend of all"


def run(
    dataset: Path,
    checkpoints: Path,
    config: TrainingConfig,
    cut: datetime | None = None,
    until: datetime = datetime.max.replace(tzinfo=UTC),
    share: float = TEST_SHARE,
    k: int = K,
    types: Collection[str] | None = None,
) -> Walk:
    """The prequential walk through a dataset folder of baskets.

    Args:
        dataset: the folder, as ingest writes it.
        checkpoints: where text embeddings are kept.
        config: settings of the count ranker and the interest model, which takes minutes where it is on.
        cut: baskets from here on are scored; None: the last `share` of them.
        until: baskets from here on are not.
        share: of the baskets.
        k: cut-off of the metrics.
        types: of the interactions that make baskets; None: all.

    Raises:
        DataError: the folder is no dataset of baskets, or no basket lies on one of the sides of the cut.
    """
    stream = read_stream(dataset, types)
    start = cut.timestamp() if cut else stream.cut(share)
    if not (stream.baskets and stream.baskets[0].time < start <= stream.baskets[-1].time):
        raise DataError(
            "There is no basket before the cut, or none after it.", "Choose a cut within the time of the baskets."
        )
    return _run(stream, checkpoints, config, start, until.timestamp(), k)


def _run(stream: BasketStream, checkpoints: Path, config: TrainingConfig, cut: float, until: float, k: int) -> Walk:
    text = TextVectors.fit(stream.catalogue.texts)
    tuned_from = cut - WEIGHT_DAYS * DAY
    others: list[_Linear | _Interest] = []
    if config.linear.enabled:
        others.append(_Linear(stream))
    if config.interest.enabled:
        others.append(_Interest(stream, config, checkpoints))
    with progress.stage("learn weights before the cut"):
        for other in others:
            other.train(tuned_from, config)
        signals, labels, groups = _before_the_cut(stream, text, config, tuned_from, cut, others)
        weights = {name: _weights(signals, labels, groups, width) for name, width in _widths(others).items()}
    for other in others:
        other.retrain(cut, config)
    started = time.monotonic()
    tallies = _walk(stream, text, config, cut, until, weights, others, k)
    facts: dict[str, Any] = {"weights": {name: of.tolist() for name, of in weights.items()}}
    facts["epochs"] = next((other.epochs for other in others if isinstance(other, _Interest)), 0)
    facts |= {"items": len(stream.catalogue), "baskets": len(stream.baskets)}
    return Walk(tallies, stream.events.users, cut, time.monotonic() - started, facts)


def _widths(others: Sequence[_Linear | _Interest]) -> dict[str, int]:
    """Row of the table -> how many of the signals its blend takes."""
    widths = {BLEND: len(count.SIGNALS)}
    for place, other in enumerate(others, start=1):
        widths[other.row] = len(count.SIGNALS) + place
    return widths


class _Counts:
    """The count ranker as it stands each midnight: a day's baskets are taken in, nothing is counted twice."""

    def __init__(self, stream: BasketStream, text: TextVectors, config: TrainingConfig, start: float) -> None:
        self.stream = stream
        self.text = text
        self.until = start
        self.counts = LiveCounts(stream.catalogue, stream.before(start), config.count)

    def at(self, midnight: float) -> CountRanker:
        """Having learned from all baskets before."""
        times = self.stream.events.timestamp
        self.counts.add(self.stream.events.where((times >= self.until) & (times < midnight)))
        self.until = midnight
        return self.counts.ranker(self.text, PRIOR, midnight)


def _signals(ranker: CountRanker, request: EncodedRequest, others: Sequence[_Linear | _Interest]) -> Floats:
    """Signals of all items, `[items, signals]`."""
    counted = ranker.all_signals([request])[0]
    return np.column_stack([counted, *(other.scores(request) for other in others)]) if others else counted


def _before_the_cut(
    stream: BasketStream,
    text: TextVectors,
    config: TrainingConfig,
    start: float,
    cut: float,
    others: Sequence[_Linear | _Interest],
) -> tuple[list[Floats], list[Floats], list[int]]:
    days = list(stream.days(start, cut))
    every = max(1, sum(len(baskets) for _, baskets in days) // WEIGHT_BASKETS)
    signals, labels, groups = [], [], []
    counts = _Counts(stream, text, config, start)
    for midnight, baskets in days:
        ranker = counts.at(midnight)
        for basket in baskets[::every]:
            request = stream.request(basket)
            signals.append(_signals(ranker, request, others))
            labels.append(_labels(basket, len(stream.catalogue)))
            groups.append(segment(request))
    return signals, labels, groups


def _labels(basket: Basket, items: int) -> Floats:
    labels = np.zeros(items, np.float32)
    labels[basket.items] = 1
    return labels


def _weights(signals: Sequence[Floats], labels: Sequence[Floats], groups: Sequence[int], width: int) -> Floats:
    weights = np.zeros((2, width), np.float32)
    weights[:, : len(count.SIGNALS)] = PRIOR
    for group in (0, 1):
        chosen = [at for at, its in enumerate(groups) if its == group]
        lists = to_lists([signals[at][:, :width] for at in chosen], [labels[at] for at in chosen])
        weights[group] = learn_weights(lists, weights[group], STRENGTH)
    return weights


def _walk(
    stream: BasketStream,
    text: TextVectors,
    config: TrainingConfig,
    cut: float,
    until: float,
    weights: Mapping[str, Floats],
    others: Sequence[_Linear | _Interest],
    k: int,
) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    days = list(stream.days(cut, until))
    counts, popularity = _Counts(stream, text, config, cut), _RunningPopularity(stream, cut)
    with progress.stage("walk through the baskets", sum(len(baskets) for _, baskets in days)) as stage:
        for midnight, baskets in days:
            ranker = counts.at(midnight)
            for basket in baskets:
                request = stream.request(basket)
                signals = _signals(ranker, request, others)
                scores = _baselines(signals, popularity.at(basket.time))
                popularity.add(basket)
                group = segment(request)
                scores |= {name: signals[:, : len(learned[0])] @ learned[group] for name, learned in weights.items()}
                for name, values in scores.items():
                    tallies.setdefault(name, Tally(k)).add(values, basket, request)
                stage.advance()
    return tallies


class _RunningPopularity:
    """Decayed counts of items, half-life 14 days, brought forward from basket to basket."""

    def __init__(self, stream: BasketStream, start: float) -> None:
        self.time = start
        self.counts = decayed_popularity(stream.before(start), len(stream.catalogue), HALF_LIFE_DAYS, start)

    def at(self, time: float) -> Floats:
        """The counts as they stand at `time`."""
        self.counts = self.counts * np.float32(2 ** (-(time - self.time) / (HALF_LIFE_DAYS * DAY)))
        self.time = time
        return self.counts

    def add(self, basket: Basket) -> None:
        """Counts a basket at the time last asked for."""
        self.counts[basket.items] += 1


def _baselines(signals: Floats, popularity: Floats) -> dict[str, Floats]:
    popular = popularity / max(float(popularity.max()), 1e-9)
    together, similar = (_of_largest(np.expm1(signals[:, at])) for at in (0, 1))
    return {
        "popularity, half-life 14 days": popular,
        BOUGHT_MOST: np.expm1(signals[:, count.SIGNALS.index("repeats")]) + 1e-3 * popular,
        "co-occurrence": together + 1e-6 * popular,
        TOGETHER: together + 0.5 * similar + popular,
    }


def _of_largest(values: Floats) -> Floats:
    return values / np.float32(max(float(values.max()), 1e-9))


class _Linear:
    """The linear ranker in the walk: fitted on what lies before an instant, then asked for every basket."""

    row = BLEND_LINEAR

    def __init__(self, stream: BasketStream) -> None:
        self.stream = stream

    def train(self, until: float, config: TrainingConfig) -> None:
        """Fits it on the events before `until`."""
        self.ranker = LinearRanker.fit(self.stream.catalogue, self.stream.before(until), config.linear)

    retrain = train

    def scores(self, request: EncodedRequest) -> Floats:
        """Scores of all items, `[items]`; zeros without a history."""
        return self.ranker.score_encoded([request])[0]


class _Interest:
    """The interest model in the walk: trained on what lies before an instant, then asked for every basket."""

    row = BLEND_ALL

    def __init__(self, stream: BasketStream, config: TrainingConfig, checkpoints: Path) -> None:
        self.stream = stream
        self.checkpoints = checkpoints
        self.epochs = config.interest.epochs

    def _read_texts(self, until: float, config: TrainingConfig) -> None:
        """Embeds the texts; a language model that is tuned is tuned on what lies before `until`."""
        from liverank.ranking.tuned_model import tuned_language_model
        from liverank.text import embed_with_cache

        texts, events = self.stream.catalogue.texts, self.stream.before(until)
        self.encoder, _ = tuned_language_model(texts, events, config, self.checkpoints)
        vectors = embed_with_cache(self.encoder, texts, self.checkpoints)
        self.catalogue = self.stream.catalogue.with_embeddings(vectors)

    def train(self, until: float, config: TrainingConfig) -> None:
        """Trains on the events before `until` with early stopping on the baskets of the days after it."""
        self._read_texts(until, config)
        baskets = [basket for basket in self.stream.baskets if until <= basket.time < until + 10 * DAY][::3]
        requests = [self.stream.request(basket) for basket in baskets]
        pairs = [(request, basket) for request, basket in zip(requests, baskets, strict=True) if len(request.history)]
        labels = [_labels(basket, len(self.catalogue)) for _, basket in pairs]

        def validate(ranker: Any) -> float:
            self.ranker = ranker
            return mean_ndcg([self.scores(request) for request, _ in pairs], labels)

        report = self._fit(until, config, validate)
        self.epochs = report.best_epoch

    def retrain(self, until: float, config: TrainingConfig) -> None:
        """Trains again on all before `until`, as many epochs as proved best."""
        fewer = config.interest.model_copy(update={"epochs": self.epochs, "patience": self.epochs})
        self._fit(until, config.model_copy(update={"interest": fewer}), None)

    def _fit(self, until: float, config: TrainingConfig, validate: Any) -> Any:
        from liverank.ranking.checkpoint import Checkpoint
        from liverank.ranking.interest import fit_interest

        path = self.checkpoints / "prequential.safetensors"
        path.unlink(missing_ok=True)
        events = self.stream.before(until)
        met = np.bincount(events.item, minlength=len(self.catalogue)).astype(np.int64)
        catalogue = replace(self.catalogue, train_events=met)
        self.ranker, report = fit_interest(catalogue, events, config, self.encoder, validate, Checkpoint(path))
        return report

    def scores(self, request: EncodedRequest) -> Floats:
        """Scores of all items less their mean, `[items]`; zeros without a history."""
        scores = self.ranker.score_encoded([request])[0]
        return scores - scores.mean()
