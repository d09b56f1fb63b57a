"""From training data and a fitted blend to a re-ranker, and whether it makes the blend's lists better."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import DataError
from liverank.ranking.blend import BlendRanker
from liverank.ranking.checkpoint import Checkpoint, checkpoint_path, forget_others
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, LabelledRequest, Rows, TrainingData, encode
from liverank.ranking.listwise import learn_weights, list_ndcg, to_lists
from liverank.ranking.lm.cascade import PRIOR, CascadeRanker, cascade_signals, dealt
from liverank.ranking.lm.judgements import taught_lists
from liverank.ranking.lm.loading import load_scorer, model_name
from liverank.ranking.lm.model import LmScorer
from liverank.ranking.lm.privacy import membership_auc
from liverank.ranking.lm.prompts import Prompts
from liverank.ranking.lm.ranker import LmRanker, weights_mark
from liverank.ranking.lm.training import LmReport, train
from liverank.ranking.lm.training_lists import TrainingList, mark, training_lists
from liverank.ranking.protocol import Candidates, Scores, ranking
from liverank.ranking.ranks import Ranks
from liverank.ranking.significance import SURE
from liverank.ranking.speed import pick_device

KIND = "lm"
"""Begins the names of the checkpoints."""
JUDGING_LISTS: Final = 2000
"""Validation lists at most that are read to say whether the re-ranker helps; none of them picked its state."""
SCORED_LISTS: Final = 20_000
"""Validation lists at most that the blend scores to find those worth reading."""
STRENGTH: Final = 10.0
KEPT_OUT_SHARE: Final = 0.05
"""Of the users, whose lists are not learned from."""
KEPT_OUT: Final = 300
"""Of these lists at most, beside as many that are learned from, are in the test of membership."""
LEAST_LISTS: Final = 5
"""Validation lists on either side, below which nothing can be picked or judged."""
SCORED_CELLS: Final = 200_000_000
"""Candidates of these lists at most, all together."""
_AT_ONCE: Final = 32
_DRAWING: Final = 2
"""Which way of drawing lists a checkpoint is of."""
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
class _List:
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
class _Side:
    """Lists of one half of the users: those to be read, and what the others are worth whatever is read."""

    most: int
    """Lists to be read, beyond which none is taken."""
    lists: list[_List] = field(default_factory=list)
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

    def take(self, one: _List) -> None:
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


def fit_lm(
    data: TrainingData,
    rankers: Mapping[str, Any],
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks | None = None,
) -> tuple[dict[str, Any], LmOutcome]:
    """Fine-tunes the language model and learns how much its word counts beside the blend's.

    Args:
        data: items, training events and validation requests.
        rankers: fitted on the training events, `count` and `blend` among them.
        config: settings of training.
        checkpoints: keeps the training state.
        ranks: the processes that train together; the others call `help_fit_lm`.

    Returns:
        `lm` and `cascade` where it is deployed, else nothing; and what it brought.

    Raises:
        LanguageModelError: the language model cannot be had.
        TrainingError: training diverged.
    """
    picking, judging = _sides(data.catalogue, data.more_validation or data.validation, rankers["blend"], config)
    enough = min(len(picking.lists), len(judging.lists)) >= LEAST_LISTS
    # The other processes have no blend to tell it by, and would wait for steps that nobody makes.
    if not (ranks or Ranks()).told(float(enough)):
        return _unjudged(config)

    def ranker(scorer: LmScorer, prompts: Prompts) -> LmRanker:
        return LmRanker(data.catalogue, prompts, scorer, config.lm, base)

    name = model_name(config)
    base = name, weights_mark(name)
    prompts, scorer, report = _trained(
        data, rankers["count"], config, checkpoints, ranks, lambda now, told: _value(ranker(now, told), picking)
    )
    lm = ranker(scorer, prompts)
    with progress.stage("judge the re-ranker", len(picking.lists) + len(judging.lists)) as stage:
        picked, rest = ([_read(lm, one, stage) for one in side.lists] for side in (picking, judging))
    outcome, weights = _outcome(picking, picked, judging, rest, report, config)
    progress.note(outcome.told())
    if not outcome.deployed:
        return {}, outcome
    return {"lm": lm, "cascade": CascadeRanker(rankers["blend"], lm, weights, config.lm.top)}, outcome


def _unjudged(config: TrainingConfig) -> tuple[dict[str, Any], LmOutcome]:
    """Nothing is trained where nothing can be judged.

    Raises:
        DataError: it is to be deployed all the same.
    """
    few = "too few validation lists have a history, and an answer among their best, to judge a language model on"
    if config.lm.deploy == "on":
        raise DataError(f"{few[0].upper()}{few[1:]}.", "Give more data, or set training.lm.enabled to false.")
    progress.note(f"{few}: none is trained")
    return {}, LmOutcome(False, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0.0, {}, {})


def learn_cascade(
    blend: BlendRanker, lm: LmRanker, validation: Sequence[LabelledRequest], config: TrainingConfig
) -> CascadeRanker:
    """A cascade over another blend, its weights learned on other validation requests."""
    lists = [one for one in _lists(lm.catalogue, validation, blend, config) if one.open][:JUDGING_LISTS]
    with progress.stage("weigh the re-ranker", len(lists)) as stage:
        read = [_read(lm, one, stage) for one in lists]
    return CascadeRanker(blend, lm, _weights(lists, read), config.lm.top)


def help_fit_lm(
    data: TrainingData, count: CountRanker, config: TrainingConfig, checkpoints: Path, ranks: Ranks
) -> None:
    """What every process but the first does of `fit_lm`: it trains, where the first one does."""
    if ranks.told(0.0):
        _trained(data, count, config, checkpoints, ranks, lambda scorer, prompts: 0.0)


def _trained(
    data: TrainingData,
    count: CountRanker,
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks | None,
    judge: Any,
) -> tuple[Prompts, LmScorer, LmReport]:
    settings, ranks = config.lm, ranks or Ranks()
    name = model_name(config)
    prompts, scorer = load_scorer(name, settings, pick_device(config.device, ranks.local))
    drawn = settings.lists, settings.negatives, settings.hard, config.seed
    lists = training_lists(data.catalogue, data.events, count, *drawn, bool(settings.privacy.epsilon))
    lists, kept_out = _kept_out(lists, data.events)
    members = lists[:KEPT_OUT]
    lists = _with_taught(lists, data, config)
    left_out = {"enabled", "deploy", "minutes", "cache_mib", "teacher", "judgements"}
    parts = [
        data.data_hash,
        weights_mark(name),
        settings.model_dump(mode="json", exclude=left_out),
        config.seed,
        config.count.model_dump(mode="json"),
        mark(lists),
        _DRAWING,
    ]
    path = checkpoint_path(checkpoints, KIND, parts)
    if ranks.first:
        forget_others(checkpoints, KIND, [path])
    report = train(
        scorer, prompts, data.catalogue, lists, config, lambda now: judge(now, prompts), Checkpoint(path), ranks
    )
    if ranks.first and not settings.judgements:  # a teacher may have been asked about lists that were kept out
        lm = LmRanker(data.catalogue, prompts, scorer, settings, (name, ""))
        found = membership_auc(_losses(lm, members), _losses(lm, kept_out))
        report = replace(report, membership_auc=round(found, 4))
    return prompts, scorer, report


def _kept_out(lists: list[TrainingList], events: Events) -> tuple[list[TrainingList], list[TrainingList]]:
    """The lists to learn from, and those of a few users that are not, to tell what training remembers."""
    aside = [hashlib.sha256(events.users[one.user].encode()).digest()[1] < KEPT_OUT_SHARE * 256 for one in lists]
    kept = [one for one, away in zip(lists, aside, strict=True) if not away]
    return kept or lists, [one for one, away in zip(lists, aside, strict=True) if away][:KEPT_OUT]


def _losses(lm: LmRanker, lists: Sequence[TrainingList]) -> list[float]:
    """Cross-entropy of each list."""
    found = []
    for one in lists:
        scores = lm.score_texts(one.request, [lm.catalogue.texts[row] for row in one.rows.tolist()])
        scores = scores if one.known is None else scores + one.known
        found.append(float(np.logaddexp.reduce(scores) - scores[0]))
    return found


def _with_taught(lists: list[TrainingList], data: TrainingData, config: TrainingConfig) -> list[TrainingList]:
    """The lists with a teacher's among them, where there is a file of judgements.

    Only those of the training time: what a teacher was asked about later holds what is to be foretold.
    """
    if not config.lm.judgements:
        return lists
    path = Path(config.lm.judgements).expanduser()
    until = data.events.latest
    taught = [one for one in taught_lists(path, data.catalogue) if one.request.request.context.timestamp <= until]
    together = [*lists, *taught]
    order = np.random.default_rng([config.seed, 5]).permutation(len(together))
    return [together[at] for at in order]


def _sides(
    catalogue: Catalogue, validation: Sequence[LabelledRequest], blend: BlendRanker, config: TrainingConfig
) -> tuple[_Side, _Side]:
    """The lists that pick the state and the weights, and those that judge: of other users."""
    picking, judging = _Side(config.lm.judge_lists), _Side(JUDGING_LISTS)
    for one in _lists(catalogue, validation, blend, config):
        (picking if _picks(one.user) else judging).take(one)
        if picking.full and judging.full:
            break
    return picking, judging


def _lists(
    catalogue: Catalogue, validation: Sequence[LabelledRequest], blend: BlendRanker, config: TrainingConfig
) -> Iterator[_List]:
    """The validation lists with an answer and a history, after the blend; in an order that no file decides."""
    order = np.random.default_rng([config.seed, 4]).permutation(len(validation))[:SCORED_LISTS]
    cells = 0
    with progress.stage("lists to judge on", len(order)) as stage:
        for start in range(0, len(order), _AT_ONCE):
            part = [one for one in (validation[at] for at in order[start : start + _AT_ONCE].tolist()) if _told(one)]
            requests = [encode(catalogue, labelled.request) for labelled in part]
            scores = blend.combine(requests, blend.signals(requests))
            for of in zip(part, requests, scores, strict=True):
                yield _list(*of, config.lm.top)
            stage.advance(min(_AT_ONCE, len(order) - start))
            cells += sum(map(len, scores))
            if cells > SCORED_CELLS:
                return


def _told(labelled: LabelledRequest) -> bool:
    return bool(labelled.labels.any()) and len(labelled.request.history) > 0


def _list(labelled: LabelledRequest, request: EncodedRequest, scores: Scores, top: int) -> _List:
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
    return _List(
        short,
        np.concatenate([scores[kept], behind]),
        np.concatenate([labelled.labels[kept], np.ones(missed, np.float32)]),
        np.arange(min(top, len(kept))),
        labelled.request.user_id or labelled.request_id,
    )


def _picks(user: str) -> bool:
    """Whether a user's lists pick the best state and the weights that are judged on the others'."""
    return hashlib.sha256(user.encode()).digest()[0] % 2 == 0


def _read(lm: LmRanker, one: _List, stage: progress.Stage | None = None) -> Scores:
    scores = lm.score_some(one.request, one.best)
    if stage:
        stage.advance(1)
    return scores


def _value(lm: LmRanker, side: _Side) -> float:
    """NDCG@10 of the lists with the weights that are best for them."""
    lm.forget()
    read = [_read(lm, one) for one in side.lists]
    weights = _weights(side.lists, read)
    return float(side.ndcg(_orders(side.lists, read, weights)).mean())


def _weights(lists: Sequence[_List], read: Sequence[Scores]) -> Floats:
    signals = [cascade_signals(one.scores[one.best], of) for one, of in zip(lists, read, strict=True)]
    return learn_weights(to_lists(signals, [one.labels[one.best] for one in lists]), PRIOR, STRENGTH)


def _orders(lists: Sequence[_List], read: Sequence[Scores], weights: Floats) -> list[Scores]:
    """Scores of each list in the cascade's order, `[candidates]`."""
    pairs = zip(lists, read, strict=True)
    return [dealt(one.scores, one.best, cascade_signals(one.scores[one.best], of) @ weights) for one, of in pairs]


def _outcome(
    picking: _Side,
    picked: Sequence[Scores],
    judging: _Side,
    rest: Sequence[Scores],
    report: LmReport,
    config: TrainingConfig,
) -> tuple[LmOutcome, Floats]:
    blend = judging.ndcg([one.scores for one in judging.lists])
    with_lm = judging.ndcg(_orders(judging.lists, rest, _weights(picking.lists, picked)))
    own = judging.ndcg([dealt(one.scores, one.best, of) for one, of in zip(judging.lists, rest, strict=True)])
    gain, error = _gain(with_lm - blend, judging.whose)
    final = _weights([*picking.lists, *judging.lists], [*picked, *rest])
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
