"""What a teacher makes of lists of the training time, kept in a file of JSON lines, for a small model to learn from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import DataError, TrainingError
from liverank.output import output_file
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue, EncodedRequest, TrainingData, encode, load_training_data
from liverank.ranking.lm.training_lists import TrainingList, training_lists
from liverank.ranking.protocol import Candidates, Context, History, Request, Scores, ranking

MOST_LOST = 3
"""Lists in a row without an answer after which a teacher is given up."""
_BEGINNING = '{"list": "'
"""Of every line of a file of judgements."""
LEAST = 2
"""Candidates of a list that an order says something about."""


class Teacher(Protocol):
    """What puts lists in order; `EndpointRanker` is one."""

    tally: Any
    """Has the numbers `prompts`, `answered`, `given_up` and `over_budget`."""

    def score_one(self, request: EncodedRequest) -> Scores:
        """Scores of one request, `[candidates]`."""
        ...


@dataclass(frozen=True)
class DistilSummary:
    """What asking a teacher came to."""

    judged: int
    """Lists in the file."""
    asked: int
    """Of these, lists that were asked about now."""
    lost: int
    """Lists that some prompt about was not answered: they are not in the file, and are asked about the next time."""
    agrees: float
    """Share of the judged lists whose first place the teacher gave to what the user took next."""
    told: str
    """The teacher's tally in a sentence."""


def judge_lists(
    features: Path, out: Path, config: TrainingConfig, lists: int, teacher: Callable[[Catalogue], Teacher]
) -> DistilSummary:
    """Asks a teacher about lists of the training time, and appends its orders to the file `out`.

    The lists are those that fine-tuning draws (`training.lm`), in random order each. What the file holds already is
    not asked again: a run that was killed, or ran out of its budget, goes on.

    Args:
        features: the features folder.
        out: file of JSON lines.
        config: settings of training, seed and draws among them.
        lists: how many are to be judged in all.
        teacher: makes the teacher for a catalogue.

    Raises:
        DataError: the features or the file cannot be read.
        TrainingError: the teacher does not answer.
        OutputError: the file cannot be written.
    """
    output_file(out)
    data = load_training_data(features)
    known = {one["list"]: one for one in _lines(out)} if out.exists() else {}
    _end_with_a_line(out)
    wanted = _drawn(data, config, lists)
    asks = teacher(data.catalogue)
    asked = lost = missed = 0
    with out.open("a", encoding="utf-8") as file, progress.stage("ask the teacher", len(wanted)) as stage:
        for name, answer, request in wanted:
            if name not in known:
                judgement = _judged(name, answer, request, asks)
                asked += 1
                if judgement is None:
                    lost, missed = lost + 1, missed + 1
                    _check_answering(missed, asks)
                    if asks.tally.over_budget:
                        break
                else:
                    missed = 0
                    known[name] = judgement
                    file.write(json.dumps(judgement) + "\n")
                    file.flush()
            stage.advance(1)
    judged = [known[name] for name, _, _ in wanted if name in known]
    agrees = float(np.mean([one["ranking"][0] == one["answer"] for one in judged])) if judged else 0.0
    return DistilSummary(len(judged), asked, lost, agrees, asks.tally.told())


def taught_lists(path: Path, catalogue: Catalogue) -> list[TrainingList]:
    """The judgements of a file as lists to learn from; items that the catalogue lacks are left out.

    The teacher's scores are minus the logarithms of the places: the n-th has 1 / n of the first one's share.

    Raises:
        DataError: the file cannot be read or holds no judgement.
    """
    found = []
    for one in _lines(path):
        ranked = [item for item in one["ranking"] if catalogue.index.get(item, -1) >= 0]
        if len(ranked) >= LEAST:
            items, types, times = one["history"]["item_ids"], one["history"]["types"], one["history"]["timestamps"]
            request = Request(History(items, types, times), Candidates(ranked), Context(float(one["timestamp"])))
            encoded = encode(catalogue, request)
            places = np.arange(1, len(ranked) + 1, dtype=np.float32)
            found.append(TrainingList(encoded, encoded.candidates, teacher=-np.log(places)))
    if not found:
        raise DataError(
            f"{path} holds no judgement about items of this catalogue.", "Run liverank distil on this data."
        )
    return found


def _drawn(data: TrainingData, config: TrainingConfig, lists: int) -> list[tuple[str, str, EncodedRequest]]:
    """Name, right item and request of each list, in the order that they are asked in."""
    settings, names = config.lm, data.catalogue.item_ids
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    rng = np.random.default_rng([config.seed, 6])
    found = []
    for one in training_lists(
        data.catalogue, data.events, count, lists, settings.negatives, settings.hard, config.seed
    ):
        rows = rng.permutation(one.rows)
        past = one.request
        history = History([names[row] for row in past.history.tolist()], past.types, past.times.tolist())
        given = Request(history, Candidates([names[row] for row in rows.tolist()]), past.request.context)
        told = json.dumps([history.item_ids, history.timestamps, given.candidates.item_ids])
        name = hashlib.sha256(told.encode()).hexdigest()[:16]
        found.append((name, names[int(one.rows[0])], replace(past, request=given, candidates=rows)))
    return found


def _check_answering(missed: int, teacher: Teacher) -> None:
    """Ends the asking where nobody answers: each further list would take its time-outs for nothing."""
    if missed >= MOST_LOST and not teacher.tally.over_budget:
        raise TrainingError(
            f"The teacher did not answer {missed} lists in a row ({teacher.tally.told()}).",
            "Check training.lm.teacher and its key; what it has judged is kept, and the same command goes on.",
        )


def _judged(name: str, answer: str, request: EncodedRequest, teacher: Teacher) -> dict[str, Any] | None:
    """A judgement as it is written; None where the teacher left a part of the list as it was for want of an answer."""
    before = teacher.tally.given_up + teacher.tally.over_budget
    scores = teacher.score_one(request)
    if teacher.tally.given_up + teacher.tally.over_budget > before:
        return None
    given = request.request
    return {
        "list": name,
        "timestamp": given.context.timestamp,
        "history": {
            "item_ids": list(given.history.item_ids),
            "types": list(given.history.types),
            "timestamps": list(given.history.timestamps),
        },
        "answer": answer,
        "ranking": [given.candidates.item_ids[at] for at in ranking(scores).tolist()],
    }


def _end_with_a_line(path: Path) -> None:
    """Cuts off what a kill left of a last line, or the next one would be written behind it."""
    if path.exists():
        whole = path.read_bytes()
        if not whole.endswith(b"\n"):
            os.truncate(path, whole.rfind(b"\n") + 1)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The judgements of a file; what a kill left of a last line is none."""
    hint = "Name a file that liverank distil wrote."
    try:
        lines: Sequence[str] = path.read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", hint) from problem
    if not lines[-1].startswith(_BEGINNING[: len(lines[-1])]):
        raise DataError(f"The last line of {path} is no judgement.", hint)
    for number, line in enumerate(lines[:-1], 1):
        try:
            one = json.loads(line)
            if not {"list", "timestamp", "history", "answer", "ranking"} <= one.keys():
                raise ValueError("a key is missing")
        except (ValueError, AttributeError) as problem:
            raise DataError(f"Line {number} of {path} is no judgement: {problem}.", hint) from problem
        yield one
