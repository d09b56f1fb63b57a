"""Prequential evaluation: walk through a stream of baskets, rank all items for each before learning from it.

The rankers are the served ones, and what is tuned (weights, epochs) is tuned on the weeks before the cut, as training
does it. From the cut on the linear ranker, the zero-shot ranker and the interest model stand still, as they do between
two trainings; a user's history grows with each basket. Counts are renewed each midnight in the rows `COUNT`,
`WITHOUT_INTEREST` and `BLEND`. Serving does not renew its counts: `AS_OF_CUT` is the blend whose counts stand still
too, what a served model is worth that long after its training; its weights were learned on counts that stood still.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from liverank import progress
from liverank.config.data import DataConfig
from liverank.config.training import TrainingConfig
from liverank.errors import DataError
from liverank.ranking.basket_stream import DAY, Basket, BasketStream, read_stream
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import BlendReport, learn_blend
from liverank.ranking.count import CountRanker, segment
from liverank.ranking.data import EncodedRequest, Floats, Rows
from liverank.ranking.prequential_counts import Counts, RunningPopularity, labels_of, plain_rows
from liverank.ranking.prequential_rankers import Trained
from liverank.ranking.prequential_tally import K, Tally, Walk

TEST_SHARE = 0.1
"""Share of the baskets, the latest, that are scored where no cut is given."""
WEIGHT_DAYS = 21
"""Days before the cut whose baskets the weights are learned on."""
WEIGHT_BASKETS = 1200
AT_ONCE = 32
"""Requests whose count signals are made together."""
COUNT, BLEND, WITHOUT_INTEREST, AS_OF_CUT = "count", "blend", "blend without interest", "blend, counts as of the cut"
"""Rows of the served rankers; `BLEND` has all signals that the configuration gives, and `WITHOUT_INTEREST` is a row
where the interest model is one of them."""
INTEREST = "interest"


def run(
    dataset: Path,
    checkpoints: Path,
    config: TrainingConfig,
    data: DataConfig | None = None,
    cut: datetime | None = None,
    until: datetime = datetime.max.replace(tzinfo=UTC),
    share: float = TEST_SHARE,
    k: int = K,
    check: Callable[[Sequence[str]], None] | None = None,
) -> Walk:
    """The prequential walk through a dataset folder of baskets.

    Args:
        dataset: the folder, as ingest writes it.
        checkpoints: keeps text embeddings, and training states until the run is done: one that was killed goes on.
        config: settings of the rankers; the interest model takes minutes where it is on.
        data: types of interactions that make baskets, and what they weigh; None: the default ones.
        cut: baskets from here on are scored; None: the last `share` of them.
        until: baskets from here on are not.
        share: of the baskets.
        k: cut-off of the metrics.
        check: gets the customer of each basket that will be scored before anything is trained, and may refuse.

    Raises:
        DataError: the folder is no dataset of baskets, or no basket lies on one of the sides of the cut.
        LanguageModelError: the language model cannot be had.
    """
    stream = read_stream(dataset, data or DataConfig())
    start = cut.timestamp() if cut else stream.cut(share)
    if not (stream.baskets and stream.baskets[0].time < start <= stream.baskets[-1].time):
        raise DataError(
            "There is no basket before the cut, or none after it.", "Choose a cut within the time of the baskets."
        )
    span = start, until.timestamp()
    scored_baskets = [basket for _, baskets in stream.days(*span) for basket in baskets]
    if check:
        check([stream.events.users[basket.user] for basket in scored_baskets])
    trained = Trained(stream, config, checkpoints)
    blends = learned(stream, config, trained, start)
    trained.retrain(start)
    started = time.monotonic()
    tallies = _tallies(scored(stream, config, trained, blends, span), len(scored_baskets), k)
    seconds = time.monotonic() - started
    trained.forget()
    facts: dict[str, Any] = {name: _told(of.report) for name, of in blends.items()}
    facts |= {"epochs": trained.epochs, "items": len(stream.catalogue), "baskets": len(stream.baskets)}
    return Walk(tallies, stream.events.users, start, seconds, facts)


def _told(report: BlendReport) -> dict[str, Any]:
    return {"weights": report.weights, "validation NDCG@10": report.ndcg, "notes": report.notes}


@dataclass(frozen=True)
class Learned:
    """A blend with its weights."""

    blend: BlendRanker
    report: BlendReport
    columns: Rows
    """Its signals among those of `BLEND`."""


@dataclass
class _Lists:
    """What weights are learned on: requests for all items with their signals and labels."""

    requests: list[EncodedRequest] = field(default_factory=list)
    signals: list[Floats] = field(default_factory=list)
    labels: list[Floats] = field(default_factory=list)


def learned(stream: BasketStream, config: TrainingConfig, trained: Trained, cut: float) -> dict[str, Learned]:
    """Row of the table -> its blend, learned on the weeks before the cut by rankers that know what lies before those.

    Each blend is learned as training learns the served one: weights drawn to the prior ones, no worse on these weeks
    than the best single ranker, and open to new items at the configured price.
    """
    start = cut - WEIGHT_DAYS * DAY
    with progress.stage("learn weights before the cut"):
        trained.train(start)
        counts = Counts(stream, config.count, start)
        days = _sampled(stream, start, cut)
        every = _over(counts.frozen, trained.rankers).signal_names
        lists = _lists(stream, ((counts.at(midnight), baskets) for midnight, baskets in days), trained.rankers)
        found = {BLEND: _learn(counts.frozen, trained.rankers, every, lists, config)}
        if INTEREST in trained.rankers:
            fewer = {name: ranker for name, ranker in trained.rankers.items() if name != INTEREST}
            found[WITHOUT_INTEREST] = _learn(counts.frozen, fewer, every, lists, config)
        del lists  # As large as the next ones: `[items, signals]` for each basket.
        lists = _lists(stream, ((counts.frozen, baskets) for _, baskets in days), trained.rankers)
        found[AS_OF_CUT] = _learn(counts.frozen, trained.rankers, every, lists, config)
    return found


def _sampled(stream: BasketStream, start: float, cut: float) -> list[tuple[float, list[Basket]]]:
    """Midnights and baskets, some `WEIGHT_BASKETS` of them."""
    days = list(stream.days(start, cut))
    every = max(1, sum(len(baskets) for _, baskets in days) // WEIGHT_BASKETS)
    return [(midnight, baskets[::every]) for midnight, baskets in days]


def _lists(
    stream: BasketStream, days: Iterable[tuple[CountRanker, Sequence[Basket]]], others: Mapping[str, Any]
) -> _Lists:
    lists = _Lists()
    for counts, baskets in days:
        blend = _over(counts, others)
        for basket, request, counted in _counted(stream, baskets, counts):
            lists.requests.append(request)
            lists.signals.append(blend.signals([request], counted)[0])
            lists.labels.append(labels_of(basket, len(stream.catalogue)))
    return lists


def _over(counts: CountRanker, others: Mapping[str, Any]) -> BlendRanker:
    return BlendRanker({"count": counts, **others}, np.zeros((2, 0), np.float32))


def _counted(stream: BasketStream, baskets: Sequence[Basket], *counts: CountRanker) -> Iterator[tuple[Any, ...]]:
    """Each basket, its request, and for each of the count rankers a list of its signals of all items.

    Many requests at a time, which costs less than one by one.
    """
    for first in range(0, len(baskets), AT_ONCE):
        part = baskets[first : first + AT_ONCE]
        requests = [stream.request(basket) for basket in part]
        signals = [ranker.all_signals(requests) for ranker in counts]
        for at, basket in enumerate(part):
            yield basket, requests[at], *([of[at]] for of in signals)


def _learn(
    counts: CountRanker, others: Mapping[str, Any], every: Sequence[str], lists: _Lists, config: TrainingConfig
) -> Learned:
    """The blend of these rankers, where the lists have `every` signal."""
    blend = _over(counts, others)
    columns = np.asarray([every.index(name) for name in blend.signal_names], np.int64)
    signals = lists.signals if len(columns) == len(every) else [row[:, columns] for row in lists.signals]
    report = learn_blend(blend, lists.requests, signals, lists.labels, config.blend.cold_price)
    for note in report.notes:
        progress.note(note)
    return Learned(blend, report, columns)


def scored(
    stream: BasketStream,
    config: TrainingConfig,
    trained: Trained,
    blends: Mapping[str, Learned],
    span: tuple[float, float],
) -> Iterator[tuple[Basket, EncodedRequest, dict[str, Floats]]]:
    """Each basket from one instant to another, who asks, and every row's scores of all items from what came before."""
    counts, popularity = Counts(stream, config.count, span[0]), RunningPopularity(stream, span[0])
    still = blends[AS_OF_CUT].blend.over({"count": counts.frozen, **trained.rankers})
    for midnight, baskets in stream.days(*span):
        renewed = counts.at(midnight)
        live = blends[BLEND].blend.over({"count": renewed, **trained.rankers})
        for basket, request, counted, of_cut in _counted(stream, baskets, renewed, counts.frozen):
            scores = plain_rows(counted[0], popularity.at(basket.time))
            popularity.add(basket)
            scores[COUNT] = counted[0] @ renewed.weights[segment(request)]
            signals = live.signals([request], counted)[0]
            for name in (WITHOUT_INTEREST, BLEND):
                if name in blends:
                    scores[name] = blends[name].blend.combine([request], [signals[:, blends[name].columns]])[0]
            scores[AS_OF_CUT] = still.combine([request], still.signals([request], of_cut))[0]
            yield basket, request, scores


def _tallies(
    walked: Iterable[tuple[Basket, EncodedRequest, dict[str, Floats]]], count: int, k: int
) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    with progress.stage("walk through the baskets", count) as stage:
        for basket, request, scores in walked:
            for name, values in scores.items():
                tallies.setdefault(name, Tally(k)).add(values, basket, request)
            stage.advance()
    return tallies
