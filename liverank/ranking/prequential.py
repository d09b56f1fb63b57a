"""Prequential evaluation: walk through a stream of baskets, rank all items for each before learning from it.

All that is tuned (weights, epochs) is tuned on the weeks before the cut. Counts are renewed each midnight, a user's
history with each basket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.ranking import count
from liverank.ranking.basket_stream import DAY, Basket, BasketStream, read_stream
from liverank.ranking.count import PRIOR, CountRanker, segment
from liverank.ranking.data import EncodedRequest, Floats
from liverank.ranking.listwise import learn_weights, mean_ndcg, to_lists
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import decayed_popularity

K = 10
CUT = datetime(2011, 11, 10, tzinfo=UTC)
WEIGHT_DAYS = 21
"""Days before the cut whose baskets the weights are learned on."""
WEIGHT_BASKETS = 1200
STRENGTH = 1.0
HALF_LIFE_DAYS = 14
COLUMNS = ("all", "new customers", "returning, new items")
_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))


@dataclass
class Tally:
    """NDCG@10 and hit of each basket, by column."""

    values: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, scores: Floats, basket: Basket, request: EncodedRequest) -> None:
        """Counts one ranking of all items in every column it belongs to."""
        result = ndcg_and_hit(scores, basket.items)
        self.values["all"].append(result)
        if not len(request.history):
            self.values["new customers"].append(result)
            return
        fresh = np.setdiff1d(basket.items, request.history)
        if len(fresh):
            scores = scores.copy()
            scores[request.history] = -np.inf
            self.values["returning, new items"].append(ndcg_and_hit(scores, fresh))

    def row(self) -> dict[str, dict[str, float]]:
        """Column -> mean NDCG@10, mean hit rate@10, the NDCG's standard error, number of baskets."""
        return {name: _means(np.asarray(values)) for name, values in self.values.items() if values}


def _means(values: npt.NDArray[np.float64]) -> dict[str, float]:
    error = float(values[:, 0].std() / np.sqrt(len(values)))
    ndcg, hit = values.mean(axis=0)
    return {"ndcg_at_10": float(ndcg), "hr_at_10": float(hit), "standard_error": error, "baskets": len(values)}


def ndcg_and_hit(scores: Floats, truth: npt.NDArray[Any]) -> tuple[float, float]:
    """NDCG@10 (binary, ideal over all of the truth) and whether any of the truth is in the top 10; ties by row."""
    top = np.argpartition(-scores, min(10 * K, len(scores) - 1))[: 10 * K]
    top = top[np.lexsort((top, -scores[top]))][:K]
    hits = np.isin(top, truth)
    ideal = float(_DISCOUNTS[: min(K, len(truth))].sum())
    return float(hits @ _DISCOUNTS[: len(hits)]) / ideal, float(hits.any())


def run(
    dataset: Path,
    checkpoints: Path,
    config: TrainingConfig,
    cut: datetime = CUT,
    until: datetime = datetime.max.replace(tzinfo=UTC),
    interest: bool = True,
) -> dict[str, dict[str, dict[str, float]]]:
    """Rows of the prequential table: ranker -> column -> figures (see `Tally.row`).

    Args:
        dataset: a dataset folder of baskets (UCI Online Retail as ingest writes it).
        checkpoints: where text embeddings are kept.
        config: settings of the count ranker and the interest model.
        cut: baskets from here on are scored.
        until: baskets from here on are not.
        interest: whether to train the interest model too (minutes).

    Raises:
        DataError: the folder is no dataset of baskets.
    """
    stream = read_stream(dataset)
    text = TextVectors.fit(stream.catalogue.texts)
    tuned_from = (cut - timedelta(days=WEIGHT_DAYS)).timestamp()
    neural = _Interest(stream, config, checkpoints) if interest else None
    with progress.stage("learn weights before the cut"):
        if neural:
            neural.train(tuned_from, config)
        signals, labels, groups = _before_the_cut(stream, text, config, tuned_from, cut.timestamp(), neural)
        weights = {name: _weights(signals, labels, groups, width) for name, width in _widths(neural).items()}
    if neural:
        neural.retrain(cut.timestamp(), config)
    return _walk(stream, text, config, cut.timestamp(), until.timestamp(), weights, neural)


def _widths(neural: _Interest | None) -> dict[str, int]:
    widths = {"blend of counts": len(count.SIGNALS)}
    if neural:
        widths["blend with interest"] = len(count.SIGNALS) + 1
    return widths


def _ranker(stream: BasketStream, text: TextVectors, config: TrainingConfig, midnight: float) -> CountRanker:
    return CountRanker.counted(stream.catalogue, stream.before(midnight), config.count, text, PRIOR, midnight)


def _signals(ranker: CountRanker, request: EncodedRequest, neural: _Interest | None) -> Floats:
    """Signals of all items, `[items, signals]`."""
    counted = ranker.all_signals([request])[0]
    return counted if neural is None else np.column_stack([counted, neural.scores(request)])


def _before_the_cut(
    stream: BasketStream, text: TextVectors, config: TrainingConfig, start: float, cut: float, neural: _Interest | None
) -> tuple[list[Floats], list[Floats], list[int]]:
    days = list(stream.days(start, cut))
    every = max(1, sum(len(baskets) for _, baskets in days) // WEIGHT_BASKETS)
    signals, labels, groups = [], [], []
    for midnight, baskets in days:
        ranker = _ranker(stream, text, config, midnight)
        for basket in baskets[::every]:
            request = stream.request(basket)
            signals.append(_signals(ranker, request, neural))
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
    neural: _Interest | None,
) -> dict[str, dict[str, dict[str, float]]]:
    tallies: dict[str, Tally] = {}
    days = list(stream.days(cut, until))
    popularity = _RunningPopularity(stream, cut)
    with progress.stage("walk through the baskets", sum(len(baskets) for _, baskets in days)) as stage:
        for midnight, baskets in days:
            ranker = _ranker(stream, text, config, midnight)
            for basket in baskets:
                request = stream.request(basket)
                signals = _signals(ranker, request, neural)
                scores = _baselines(signals, popularity.at(basket.time))
                popularity.add(basket)
                group = segment(request)
                scores |= {name: signals[:, : len(learned[0])] @ learned[group] for name, learned in weights.items()}
                for name, values in scores.items():
                    tallies.setdefault(name, Tally()).add(values, basket, request)
                stage.advance()
    return {name: tally.row() for name, tally in tallies.items()}


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
        "what the customer bought most": np.expm1(signals[:, count.SIGNALS.index("repeats")]) + 1e-3 * popular,
        "co-occurrence": together + 1e-6 * popular,
        "co-occurrence + 0.5 TF-IDF + popularity": together + 0.5 * similar + popular,
    }


def _of_largest(values: Floats) -> Floats:
    return values / np.float32(max(float(values.max()), 1e-9))


class _Interest:
    """The interest model in the walk: trained on what lies before an instant, then asked for every basket."""

    def __init__(self, stream: BasketStream, config: TrainingConfig, checkpoints: Path) -> None:
        from liverank.text import LanguageModel, embed_with_cache

        self.encoder = LanguageModel(config.language_model, config.max_tokens)
        vectors = embed_with_cache(self.encoder, stream.catalogue.texts, checkpoints)
        self.stream = stream
        self.catalogue = stream.catalogue.with_embeddings(vectors)
        self.checkpoints = checkpoints
        self.epochs = config.interest.epochs

    def train(self, until: float, config: TrainingConfig) -> None:
        """Trains on the events before `until` with early stopping on the baskets of the days after it."""
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
        from dataclasses import replace

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
        """Standardised scores of all items, `[items]`; zeros without a history."""
        scores = self.ranker.score_encoded([request])[0]
        deviation = float(scores.std())
        return (scores - scores.mean()) / np.float32(deviation) if deviation > 0 else scores
