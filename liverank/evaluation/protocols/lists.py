"""Logged lists, re-ranked: what the user then did with them decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank import progress
from liverank.config.data import DataConfig
from liverank.data.dataset import read_table
from liverank.errors import DataError
from liverank.evaluation.lists import Lists, build_lists
from liverank.evaluation.measure import measure
from liverank.evaluation.protocols.asks import Split, sample
from liverank.evaluation.protocols.log import Log
from liverank.evaluation.protocols.ranks import METRICS
from liverank.evaluation.protocols.results import Table, check_enough, together
from liverank.evaluation.protocols.scoring import READERS, CountScores
from liverank.evaluation.protocols.split_run import Means, Ran, data_hash, fit_seed, split_facts
from liverank.evaluation.protocols.temporal import cuts, temporal
from liverank.evaluation.protocols.two_stage import VALIDATION_LISTS, list_requests, validation_lists
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.baselines import IncomingOrder
from liverank.ranking.blend_signals import LEAST_LISTS
from liverank.ranking.count import CountRanker
from liverank.ranking.data import LabelledRequest, encode
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Candidates, Context, History, Request, Scores

RETRIEVED = 100
Answers = Mapping[str, tuple[str, ...]]
"""Impression id -> items that were answered with what can be looked for."""


@dataclass(frozen=True)
class LoggedLists:
    """The lists of a data set, by time."""

    shown: pa.Table
    """Impressions."""
    told: pa.Table
    """Interactions that answer a list."""

    def answers(self, until: float = np.inf) -> Answers:
        """What was answered before an instant, seconds since 1970."""
        kept = self.told.filter(pa.array(_seconds(self.told) < until))
        answered: dict[str, dict[str, None]] = {}
        for list_id, item in zip(kept[c.IMPRESSION_ID].to_pylist(), kept[c.ITEM_ID].to_pylist(), strict=True):
            answered.setdefault(list_id, {})[item] = None
        return {list_id: tuple(items) for list_id, items in answered.items()}

    def first_answers(self) -> dict[str, float]:
        """When each list that was answered was so first, seconds since 1970."""
        first: dict[str, float] = {}
        for list_id, time in zip(self.told[c.IMPRESSION_ID].to_pylist(), _seconds(self.told).tolist(), strict=True):
            first[list_id] = min(time, first.get(list_id, time))
        return first

    def span(self) -> tuple[float, float]:
        """First and last instant, seconds since 1970."""
        times = _seconds(self.shown)
        return float(times.min()), float(times.max())

    def between(self, since: float, until: float) -> pa.Table:
        """The lists shown in `[since, until)`."""
        times = _seconds(self.shown)
        return self.shown.filter(pa.array((times >= since) & (times < until)))


def run_lists(dataset: Path, log: Log, data: DataConfig, means: Means) -> Ran:
    """Re-ranks the lists of the last share of the time with every ranker, trained on what lies before the validation.

    The blend's weights are learned on the lists of the time before the test; where fewer than 20 of them have an
    answer, on lists of the count ranker's 100 best for the steps of that time, and then without the incoming scores.

    Raises:
        DataError: the data set has no lists, none that is answered after the cut, or no events before.
    """
    logged = read_lists(dataset, data)
    span = _span(log, logged)
    validation_from, test_from = cuts(*span, means.settings.share)
    split = temporal(log, means.settings.share, span=span)
    known = logged.first_answers()
    test = labelled_lists(log, logged.between(test_from, np.inf), logged.answers(), known)
    judged = _answered(test)
    # What was answered after the test began is not known when weights are learned.
    earlier = logged.between(validation_from, test_from)
    shown = sample(labelled_lists(log, earlier, logged.answers(test_from), known), VALIDATION_LISTS)
    enough = sum(bool(one.labels.any()) for one in shown) >= LEAST_LISTS
    validation = shown if enough else _retrieved(split, means)
    table, chosen = _ranked(split, validation, judged, means)
    facts = split_facts(split) | {"test requests": len(test), "answered": len(judged)}
    facts |= {"validation requests": len(validation), "validation": "logged lists" if enough else "retrieved"}
    return Ran([table], facts, {"seeds": chosen})


def _span(log: Log, logged: LoggedLists) -> tuple[float, float]:
    """First and last instant of events and lists together."""
    times, (first, last) = log.events.timestamp, logged.span()
    return min(float(times.min()), first), max(float(times.max()), last)


def _answered(test: Sequence[LabelledRequest]) -> list[LabelledRequest]:
    judged = [one for one in test if one.truth]
    if not judged:
        raise DataError(
            "No list of the test is answered: no interaction of a label type carries its impression_id.",
            "Give interactions with impression_id, or another --share.",
        )
    check_enough([one.request.user_id for one in judged], "Give more answered lists, or a larger --share.")
    return judged


def _ranked(
    split: Split, validation: list[LabelledRequest], judged: Sequence[LabelledRequest], means: Means
) -> tuple[Table, list[dict[str, Any]]]:
    """The table of the judged lists, and what each seed chose."""
    rectangles, catalogue = rectangles_of(judged, split.log), split.log.catalogue
    tables, chosen = [], []
    for number in range(means.settings.seeds):
        fitted = fit_seed(split.training_data(validation, data_hash(split, means.settings)), number, means)
        with means.watch("rank"):
            alone = {name: ranker for name, ranker in fitted.rankers.items() if name not in READERS}
            scores = score_rankers({"incoming": IncomingOrder(), **alone}, judged)
            if "cascade" in fitted.rankers:
                scores |= _read_again(fitted.rankers["cascade"], judged, scores["blend"])
            measured = {name: measure(rectangles, of, catalogue, means.settings.k) for name, of in scores.items()}
        tables.append(_table(judged, {name: of.per_request for name, of in measured.items()}))
        told = {"blend": fitted.report.weights, "interest": fitted.interest}
        chosen.append(told | ({"lm": fitted.lm} if fitted.lm else {}))
    return together(tables), chosen


def _read_again(
    cascade: CascadeRanker, judged: Sequence[LabelledRequest], blended: Sequence[Scores]
) -> dict[str, list[Scores]]:
    """The blend's best in the cascade's order and in its language model's; only lists are read that it can change."""
    found: dict[str, list[Scores]] = {name: [] for name in READERS}
    with progress.stage("read the best again", len(judged)) as stage:
        for labelled, of in zip(judged, blended, strict=True):
            rows: dict[str, Scores] = {}
            if labelled.labels[cascade.best(of)].any():
                rows = cascade.beside(encode(cascade.count.catalogue, labelled.request), of)
            for name in READERS:
                found[name].append(rows.get(name, of))
            stage.advance(1)
    return found


def read_lists(dataset: Path, data: DataConfig) -> LoggedLists:
    """The impressions of a dataset folder and their answers.

    Raises:
        DataError: there is no impression.
    """
    shown = read_table(dataset, "impressions")
    if not shown.num_rows:
        raise DataError(f"{dataset} holds no impression to re-rank.", "Choose another --protocol, or log lists.")
    positive = [kind for kind in data.label_types if data.event_weights.get(kind, 0) > 0]
    events = read_table(dataset, "interactions")
    told = pc.and_(pc.is_in(events[c.TYPE], pa.array(positive, pa.string())), pc.is_valid(events[c.IMPRESSION_ID]))
    return LoggedLists(shown, events.filter(told))


def labelled_lists(
    log: Log, shown: pa.Table, answers: Answers, answered_at: Mapping[str, float]
) -> list[LabelledRequest]:
    """Lists as requests, candidates in the order that came in, with the history that lies before each.

    Clocks differ: an answer may be dated before its list (`answered_at`, seconds since 1970). The history ends before
    it all the same, or it would hold what is asked for.
    """
    users = {name: at for at, name in enumerate(log.events.users)}
    starts = log.user_starts()
    requests = []
    for row in (row for batch in shown.to_batches(max_chunksize=1000) for row in batch.to_pylist()):
        ids, scores = incoming(row[c.SHOWN])
        time = row[c.TIMESTAMP].timestamp()
        user = users.get(row[c.USER_ID], -1)
        start, end = (int(starts[user]), int(starts[user + 1])) if user >= 0 else (0, 0)
        until = min(time, answered_at.get(row[c.IMPRESSION_ID], time))
        stop = start + int(np.searchsorted(log.events.timestamp[start:end], until))
        context = Context(time, row[c.SURFACE] or "", dict(row[c.CONTEXT] or ()))
        request = Request(_history(log, start, stop), Candidates(ids, scores=scores), context, row[c.USER_ID])
        truth = answers.get(row[c.IMPRESSION_ID], ())
        labels = np.asarray([item in truth for item in ids], np.float32)
        requests.append(LabelledRequest(request, row[c.IMPRESSION_ID], labels, truth, "impressions"))
    return requests


def incoming(shown: Sequence[Mapping[str, Any]]) -> tuple[list[str], np.ndarray | None]:
    """Items in the order that came in, and the scores of the proposer where all have one; a repeated item counts once.

    The order is that of `incoming_position` where it was logged, else of `position`; so with the scores.
    """
    moved = all(line[c.INCOMING_POSITION] is not None for line in shown)
    position, score = (c.INCOMING_POSITION, c.INCOMING_SCORE) if moved else (c.POSITION, c.SCORE)
    lines = {line[c.ITEM_ID]: line[score] for line in sorted(shown, key=lambda line: line[position])}
    complete = all(value is not None for value in lines.values())
    return list(lines), np.asarray(list(lines.values()), np.float32) if complete and lines else None


def _history(log: Log, start: int, stop: int) -> History:
    events, names = log.events, log.catalogue.item_ids
    items = [names[row] for row in events.item[start:stop].tolist()]
    return History(
        items, [events.types[kind] for kind in events.type[start:stop].tolist()], events.timestamp[start:stop].tolist()
    )


def rectangles_of(judged: Sequence[LabelledRequest], log: Log) -> Lists:
    """The lists in incoming order; an answer that a list does not hold counts as missed."""
    missed = [[item for item in one.truth if item not in one.request.candidates.item_ids] for one in judged]
    ids = [one.request.candidates.item_ids for one in judged]
    return build_lists(ids, [one.labels for one in judged], missed, log.catalogue.index)


def _retrieved(split: Split, means: Means) -> list[LabelledRequest]:
    with means.watch("retrieve validation lists"):
        data = split.training_data([], "")
        scorer = CountScores(CountRanker.fit(data.catalogue, data.events, means.training.count))
        return list_requests(split, *validation_lists(split, scorer, "count", RETRIEVED))


def _table(judged: Sequence[LabelledRequest], values: Mapping[str, Mapping[str, Any]]) -> Table:
    inside = np.asarray([bool(one.labels.any()) for one in judged])
    groups = {} if inside.all() else {"truth in the list": inside}
    return Table(
        "logged lists",
        "Lists as they were logged; equal scores keep the incoming order, an answer outside its list counts as missed. "
        "MRR is cut off like the others here.",
        [one.request.user_id for one in judged],
        {name: {metric: of[metric] for metric in METRICS} for name, of in values.items()},
        groups,
        ([("cascade", "blend")] if "cascade" in values else [])
        + [("blend", name) for name in values if name not in {"blend", *READERS}],
    )


def _seconds(shown: pa.Table) -> np.ndarray:
    micros: np.ndarray = shown[c.TIMESTAMP].cast(pa.int64()).to_numpy()
    return micros / 1e6
