"""The refit: once the validation has chosen epochs and weights, the rankers learn its events too.

What users did last says most about what they do next, and a model that was judged on the validation has not seen it.
The count and the linear ranker are fitted anew. The interest model goes on from the weights that were chosen, for a few
passes over all events at a small rate, instead of beginning again. The blend keeps its weights: they were learned from
the signals of rankers that did not know the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liverank import progress
from liverank.config.training import DistilConfig, TrainingConfig
from liverank.ranking.baselines import PopularityRanker
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Floats, TrainingData
from liverank.ranking.linear import LinearRanker
from liverank.ranking.zero_shot import ZeroShotRanker

if TYPE_CHECKING:
    from torch import Tensor

    from liverank.ranking.interest import InterestRanker
    from liverank.ranking.interest_model import InterestModel
    from liverank.ranking.ranks import Ranks

KIND = "refit"
"""Begins the names of the checkpoints."""
_OF_THE_EVENTS = "log_met"
"""What the interest model takes from the events itself."""
_TYPES = "types.weight"


def refit_data(data: TrainingData, config: TrainingConfig) -> TrainingData | None:
    """The same items with all events up to the end of the validation; None where that is nothing new, or not wanted."""
    if not config.refit.enabled or data.complete is None or len(data.complete) == len(data.events):
        return None
    counts = np.bincount(data.complete.item, minlength=len(data.catalogue)).astype(np.int64)
    return TrainingData(replace(data.catalogue, train_events=counts), data.complete, [], data.data_hash)


def refitted(
    rankers: Mapping[str, Any],
    types: Sequence[str],
    later: TrainingData,
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """All rankers of a bundle with the events of `later`; arguments and errors as of `refit_model`."""
    with progress.stage("refit"):
        progress.note(f"the validation's events are learned too: {len(later.events):,} in all")
        fitted = {**rankers, **refit_counts(rankers, later, config)}
        if "interest" in rankers:
            fitted["interest"] = refit_interest(rankers["interest"], types, later, config, checkpoints, ranks)
        fitted["blend"] = rankers["blend"].over(fitted)
        if "cascade" in rankers:
            # The language model reads texts, whatever was counted since; it moves to the items with their new counts.
            fitted["lm"] = rankers["lm"].on(later.catalogue, np.zeros(0, np.int64))
            fitted["cascade"] = rankers["cascade"].over(fitted)
        return fitted


def refit_counts(rankers: Mapping[str, Any], later: TrainingData, config: TrainingConfig) -> dict[str, Any]:
    """The rankers that are counted or solved, of `later`; the weights of the count ranker's signals stay."""
    catalogue, events, count = later.catalogue, later.events, rankers["count"]
    fitted = {
        "count": CountRanker.counted(catalogue, events, config.count, count.text, count.weights),
        "popularity": PopularityRanker.fit(catalogue, events, config.count.popularity_half_life_days),
        "zero-shot": ZeroShotRanker(catalogue, rankers["zero-shot"].encoder),
    }
    return fitted | ({"linear": LinearRanker.fit(catalogue, events, config.linear)} if "linear" in rankers else {})


def refit_interest(
    chosen: InterestRanker,
    types: Sequence[str],
    later: TrainingData,
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks | None = None,
) -> InterestRanker:
    """The interest ranker after some more passes, over the events of `later`; arguments and errors of `refit_model`."""
    from liverank.ranking.interest import InterestRanker

    catalogue = later.catalogue
    features = chosen.text.transform(catalogue.texts, catalogue.embedded)
    model = refit_model(chosen.model, features, types, later, config, checkpoints, ranks)
    types = later.events.types
    return InterestRanker(catalogue, model, types, chosen.encoder, chosen.text, config=chosen.config)


def refit_model(
    chosen: InterestModel,
    features: Floats,
    types: Sequence[str],
    later: TrainingData,
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks | None = None,
) -> InterestModel:
    """The interest model after some more passes, over the events of `later`.

    Args:
        chosen: as the validation chose it.
        features: the items' text features, `[items, width]`.
        types: names of the event types that it was trained on.
        later: the events, and the items with their embeddings.
        config: settings of training.
        checkpoints: keeps the training state: a run that was killed goes on from there.
        ranks: the processes that train together, each of which calls this.

    Raises:
        BundleError: the checkpoint cannot be used.
        TrainingError: training diverged.
    """
    from liverank.ranking.checkpoint import Checkpoint, checkpoint_path, forget_others
    from liverank.ranking.interest_training import train

    initial, settings = initial_state(chosen, types, later.events.types), _settings(config)
    parts = [later.data_hash, _mark(initial), settings.interest.model_dump(mode="json"), config.seed]
    path = checkpoint_path(checkpoints, KIND, parts)
    if not ranks or ranks.first:
        forget_others(checkpoints, KIND, [path])
    rate_key, at = "training.refit.learning_rate", Checkpoint(path)
    return train(features, later.events, settings, None, at, ranks, initial=initial, rate_key=rate_key)[0]


def initial_state(model: InterestModel, types: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
    """The model's parameters by name, with a row for each of the `wanted` event types.

    A type that is not among `types` begins as the row of those that were not met.
    """
    state = {name: tensor for name, tensor in model.state_dict().items() if name != _OF_THE_EVENTS}
    place = {name: at for at, name in enumerate(types)}
    state[_TYPES] = state[_TYPES][[*(place.get(name, len(types)) for name in wanted), len(types)]]
    return state


def _settings(config: TrainingConfig) -> TrainingConfig:
    """Few passes that end at a rate of 0: there is nothing to average, to stop or to be taught."""
    refit = config.refit
    fewer = {"epochs": refit.epochs, "patience": refit.epochs, "learning_rate": refit.learning_rate}
    interest = config.interest.model_copy(update={**fewer, "averaging": 0.0, "distil": DistilConfig()})
    return config.model_copy(update={"interest": interest})


def _mark(state: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(np.ascontiguousarray(state[name].cpu().numpy()).data)
    return found.hexdigest()[:16]
