"""From training data and a fitted blend to a re-ranker, and whether it makes the blend's lists better."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.errors import DataError
from liverank.ranking.blend import BlendRanker
from liverank.ranking.checkpoint import Checkpoint, checkpoint_path, forget_others
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Events, LabelledRequest, TrainingData
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.lm.judgements import taught_lists
from liverank.ranking.lm.judging import (
    JUDGING_LISTS,
    LmOutcome,
    judged_lists,
    learned_weights,
    outcome_of,
    read_one,
    sides,
    value,
)
from liverank.ranking.lm.loading import load_scorer, model_name
from liverank.ranking.lm.model import LmScorer
from liverank.ranking.lm.privacy import membership_auc
from liverank.ranking.lm.prompts import Prompts
from liverank.ranking.lm.ranker import LmRanker, weights_mark
from liverank.ranking.lm.training import LmReport, train
from liverank.ranking.lm.training_lists import TrainingList, mark, training_lists
from liverank.ranking.ranks import Ranks
from liverank.ranking.speed import pick_device

KIND = "lm"
"""Begins the names of the checkpoints."""
KEPT_OUT_SHARE: Final = 0.05
"""Of the users, whose lists are not learned from."""
KEPT_OUT: Final = 300
"""Of these lists at most, beside as many that are learned from, are in the test of membership."""
LEAST_LISTS: Final = 5
"""Validation lists on either side, below which nothing can be picked or judged."""
_DRAWING: Final = 2
"""Which way of drawing lists a checkpoint is of."""


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
    picking, judging = sides(data.catalogue, data.more_validation or data.validation, rankers["blend"], config)
    enough = min(len(picking.lists), len(judging.lists)) >= LEAST_LISTS
    # The other processes have no blend to tell it by, and would wait for steps that nobody makes.
    if not (ranks or Ranks()).told(float(enough)):
        return _unjudged(config)

    def ranker(scorer: LmScorer, prompts: Prompts) -> LmRanker:
        return LmRanker(data.catalogue, prompts, scorer, config.lm, base)

    name = model_name(config)
    base = name, weights_mark(name)
    prompts, scorer, report = _trained(
        data, rankers["count"], config, checkpoints, ranks, lambda now, told: value(ranker(now, told), picking)
    )
    lm = ranker(scorer, prompts)
    with progress.stage("judge the re-ranker", len(picking.lists) + len(judging.lists)) as stage:
        picked, rest = ([read_one(lm, one, stage) for one in side.lists] for side in (picking, judging))
    outcome, weights = outcome_of(picking, picked, judging, rest, report, config)
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
    lists = [one for one in judged_lists(lm.catalogue, validation, blend, config) if one.open][:JUDGING_LISTS]
    with progress.stage("weigh the re-ranker", len(lists)) as stage:
        read = [read_one(lm, one, stage) for one in lists]
    return CascadeRanker(blend, lm, learned_weights(lists, read), config.lm.top)


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
