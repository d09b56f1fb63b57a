"""What the re-ranker is judged on: validation lists after the blend, as far as re-ranking can change them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.ranking.blend import BlendRanker
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, LabelledRequest, Rows, encode
from liverank.ranking.listwise import learn_weights, list_ndcg, to_lists
from liverank.ranking.lm.cascade import PRIOR, cascade_signals, dealt
from liverank.ranking.lm.ranker import LmRanker
from liverank.ranking.lm.training import LmReport
from liverank.ranking.protocol import Candidates, Scores, ranking
from liverank.ranking.significance import SURE

JUDGING_LISTS: Final = 2000
"""Validation lists at most that are read to say whether the re-ranker helps; none of them picked its state."""
SCORED_LISTS: Final = 20_000
"""Validation lists at most that the blend scores to find those worth reading."""
STRENGTH: Final = 10.0
SCORED_CELLS: Final = 200_000_000
"""Candidates of these lists at most, all together."""
_AT_ONCE: Final = 32
_PLACES: Final = 10
"""First places that an NDCG looks at."""


@dataclass(frozen=True)
class LmOutcome:
    """What fine-tuning brought; plain values. NDCGs are at 10, on validation lists."""

    deployed: bool
    gain: float
    """Of the cascade over the blend, on lists that chose neither the model's state nor the weights."""
    low: float
    """Lower end of the gain's 95 % interval, users being independent."""
    high: float
    judged: int
    """Lists that the gain was measured on."""
    blend: float
    """NDCG of the blend alone on those."""
    cascade: float
    alone: float
    """NDCG of the best in the language model's own order."""
    weights: dict[str, float]
    training: dict[str, Any]
    """`LmReport`."""

    def told(self) -> str:
        """The outcome as a sentence.

        >>> LmOutcome(False, 0.001, -0.002, 0.004, 900, 0.1, 0.101, 0.06, {}, {}).told()
        'the language model changes validation NDCG@10 by +0.0010 [-0.0020, +0.0040] (900 lists): it is not deployed'
        """
        change = f"{self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}] ({self.judged:,} lists)"
        verdict = "it re-ranks the best" if self.deployed else "it is not deployed"
        return f"the language model changes validation NDCG@10 by {change}: {verdict}"


@dataclass(frozen=True, slots=True)
class JudgedList:
    """A validation list after the blend, as far as its NDCG and the re-ranker look at it, the best first."""

    request: EncodedRequest
    scores: Scores
    """`[candidates]`, as the next."""
    labels: Floats
    best: Rows
    """Places of the candidates that are re-ranked, the best by the blend first."""
    user: str

    @property
    def open(self) -> bool:
        """Whether reading can change how good it is: answers and others are among its best."""
        answers = self.labels[self.best] > 0
        return bool(answers.any() and not answers.all())


@dataclass(slots=True)
class Side:
    """Lists of one half of the users: those to be read, and what the others are worth whatever is read."""

    most: int
    """Lists to be read, beyond which none is taken."""
    lists: list[JudgedList] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    """Of the lists to be read; so the next ones of the others."""
    closed: list[float] = field(default_factory=list)
    """NDCG@10 of each list that reading cannot change."""
    closed_users: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lists) + len(self.closed)

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self.lists) >= self.most

    def take(self, one: JudgedList) -> None:
        """Keeps a list, or what is wanted of it, while there is room."""
        if self.full:
            return
        if one.open:
            self.lists.append(one)
            self.users.append(one.user)
        else:
            self.closed.append(float(list_ndcg([one.scores], [one.labels])[0]))
            self.closed_users.append(one.user)

    def ndcg(self, scores: Sequence[Scores]) -> npt.NDArray[np.float64]:
        """NDCG@10 of all its lists, given new scores of those that are read; in the order of `whose`."""
        return np.concatenate([list_ndcg(scores, [one.labels for one in self.lists]), self.closed])

    @property
    def whose(self) -> list[str]:
        """User of each list."""
        return self.users + self.closed_users


def sides(
    catalogue: Catalogue, validation: Sequence[LabelledRequest], blend: BlendRanker, config: TrainingConfig
) -> tuple[Side, Side]:
    """The lists that pick the state and the weights, and those that judge: of other users."""
    picking, judging = Side(config.lm.judge_lists), Side(JUDGING_LISTS)
    for one in judged_lists(catalogue, validation, blend, config):
        (picking if _picks(one.user) else judging).take(one)
        if picking.full and judging.full:
            break
    return picking, judging


def judged_lists(
    catalogue: Catalogue, validation: Sequence[LabelledRequest], blend: BlendRanker, config: TrainingConfig
) -> Iterator[JudgedList]:
    """The validation lists with an answer and a history, after the blend; in an order that no file decides."""
    order = np.random.default_rng([config.seed, 4]).permutation(len(validation))[:SCORED_LISTS]
    cells = 0
    with progress.stage("lists to judge on", len(order)) as stage:
        for start in range(0, len(order), _AT_ONCE):
            part = [one for one in (validation[at] for at in order[start : start + _AT_ONCE].tolist()) if _told(one)]
            requests = [encode(catalogue, labelled.request) for labelled in part]
            scores = blend.combine(requests, blend.signals(requests))
            for of in zip(part, requests, scores, strict=True):
                yield judged_list(*of, config.lm.top)
            stage.advance(min(_AT_ONCE, len(order) - start))
            cells += sum(map(len, scores))
            if cells > SCORED_CELLS:
                return


def _told(labelled: LabelledRequest) -> bool:
    return bool(labelled.labels.any()) and len(labelled.request.history) > 0


def judged_list(labelled: LabelledRequest, request: EncodedRequest, scores: Scores, top: int) -> JudgedList:
    """What counts of a list: of all items only the first hold places that anything depends on."""
    order = ranking(scores)
    most = min(len(order), max(top, _PLACES))
    # With those that are tied with the last: they share its place.
    kept = order[: most + int(np.count_nonzero(scores[order[most:]] == scores[order[most - 1]]))]
    missed = int(np.count_nonzero(labelled.labels > 0) - np.count_nonzero(labelled.labels[kept] > 0))
    given = labelled.request.candidates
    ids = [given.item_ids[place] for place in kept.tolist()]
    candidates = Candidates(ids, {item: given.texts[item] for item in ids if item in given.texts})
    short = replace(
        request, request=replace(request.request, candidates=candidates), candidates=request.candidates[kept]
    )
    # Answers that are not kept stand behind all others: the best possible list has them too.
    behind = np.full(missed, scores.min() - 1, np.float32)
    return JudgedList(
        short,
        np.concatenate([scores[kept], behind]),
        np.concatenate([labelled.labels[kept], np.ones(missed, np.float32)]),
        np.arange(min(top, len(kept))),
        labelled.request.user_id or labelled.request_id,
    )


def _picks(user: str) -> bool:
    """Whether a user's lists pick the best state and the weights that are judged on the others'."""
    return hashlib.sha256(user.encode()).digest()[0] % 2 == 0


def read_one(lm: LmRanker, one: JudgedList, stage: progress.Stage | None = None) -> Scores:
    """The language model's scores of a list's best, `[best]`."""
    scores = lm.score_some(one.request, one.best)
    if stage:
        stage.advance(1)
    return scores


def value(lm: LmRanker, side: Side) -> float:
    """NDCG@10 of the lists with the weights that are best for them."""
    lm.forget()
    read = [read_one(lm, one) for one in side.lists]
    weights = learned_weights(side.lists, read)
    return float(side.ndcg(orders(side.lists, read, weights)).mean())


def learned_weights(lists: Sequence[JudgedList], read: Sequence[Scores]) -> Floats:
    """What the blend's and the language model's word count for on these lists, `[signals]`."""
    signals = [cascade_signals(one.scores[one.best], of) for one, of in zip(lists, read, strict=True)]
    return learn_weights(to_lists(signals, [one.labels[one.best] for one in lists]), PRIOR, STRENGTH)


def orders(lists: Sequence[JudgedList], read: Sequence[Scores], weights: Floats) -> list[Scores]:
    """Scores of each list in the cascade's order, `[candidates]`."""
    pairs = zip(lists, read, strict=True)
    return [dealt(one.scores, one.best, cascade_signals(one.scores[one.best], of) @ weights) for one, of in pairs]


def outcome_of(
    picking: Side,
    picked: Sequence[Scores],
    judging: Side,
    rest: Sequence[Scores],
    report: LmReport,
    config: TrainingConfig,
) -> tuple[LmOutcome, Floats]:
    """What re-ranking brings by lists that judge, with weights of those that pick; and weights learned on both."""
    blend = judging.ndcg([one.scores for one in judging.lists])
    with_lm = judging.ndcg(orders(judging.lists, rest, learned_weights(picking.lists, picked)))
    own = judging.ndcg([dealt(one.scores, one.best, of) for one, of in zip(judging.lists, rest, strict=True)])
    gain, error = _gain(with_lm - blend, judging.whose)
    final = learned_weights([*picking.lists, *judging.lists], [*picked, *rest])
    outcome = LmOutcome(
        deployed=config.lm.deploy == "on" or gain > SURE * error > 0,
        gain=gain,
        low=gain - SURE * error,
        high=gain + SURE * error,
        judged=len(judging),
        blend=float(blend.mean()),
        cascade=float(with_lm.mean()),
        alone=float(own.mean()),
        weights={
            name: round(float(weight), 4) for name, weight in zip(("blend", "lm", "lm, sure"), final, strict=True)
        },
        training=asdict(report),
    )
    return outcome, final


def _gain(gains: Any, users: Sequence[str]) -> tuple[float, float]:
    """Mean over the lists, and its standard error with users as what is independent."""
    if len(gains) < 2:
        return float(np.sum(gains)), 0.0
    number = np.unique(np.asarray(users), return_inverse=True)[1]
    away = np.bincount(number, gains - gains.mean())
    return float(gains.mean()), float(np.sqrt((away**2).sum()) / len(gains))
