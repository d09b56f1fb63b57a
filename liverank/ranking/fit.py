"""The train step: a features folder in, a model bundle out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.ranking.baselines import PopularityRanker
from liverank.ranking.blend_learning import BlendReport, fit_blend
from liverank.ranking.bundle import bundle_hash
from liverank.ranking.bundle_files import save_bundle
from liverank.ranking.count import CountRanker
from liverank.ranking.data import Catalogue, LabelledRequest, TrainingData, encode, load_training_data
from liverank.ranking.linear import LinearRanker
from liverank.ranking.listwise import mean_ndcg
from liverank.ranking.refit import refit_data, refit_model, refitted
from liverank.ranking.zero_shot import ZeroShotRanker
from liverank.text import LanguageModel, embed_with_cache

if TYPE_CHECKING:
    from liverank.ranking.distil import Taught
    from liverank.ranking.ranks import Ranks

_DATA = "data hash"
JUDGED_REQUESTS = 1000
"""Validation requests on which the interest model is judged after each epoch."""


@dataclass(frozen=True)
class FitSummary:
    """What the train step did; plain values, so that it can go into a report."""

    bundle_hash: str
    data_hash: str
    seconds: dict[str, float]
    """Part of the step -> seconds."""
    validation_ndcg: dict[str, float]
    """Ranker or signal -> NDCG@10 on the validation requests."""
    weights: dict[str, dict[str, float]]
    """Segment of users -> signal -> weight of the blend."""
    notes: list[str]
    interest: dict[str, Any] = field(default_factory=dict)
    """`InterestReport` of the interest model; empty where it was not trained."""
    text: dict[str, Any] = field(default_factory=dict)
    """How tuning of the language model went; empty where it is off."""
    lm: dict[str, Any] = field(default_factory=dict)
    """`LmOutcome` of the language-model re-ranker; empty where it was not trained."""
    refit_events: int = 0
    """Events that the bundle's rankers learned in the end, the validation's among them; 0 where there was no refit."""


def fit(features: Path, out: Path, config: TrainingConfig, checkpoints: Path, ranks: Ranks | None = None) -> FitSummary:
    """Fits all rankers on a features folder and writes the bundle `out`, whole or not at all.

    `checkpoints` keeps text embeddings and the interest model's training state: a run that was killed goes on from
    there, to the same bundle. With `ranks` this is the first of several processes; the others call `help_fit`.

    Raises:
        DataError: the features are missing, unreadable or hold no training event.
        LanguageModelError: the language model cannot be had.
    """
    clock = Clock()
    with clock("read"):
        data = load_training_data(features)
    fitted = fit_rankers(data, config, checkpoints, features, clock, ranks)
    with clock("write"):
        facts = {
            "data_hash": data.data_hash,
            "language_model": fitted.model.fingerprint(),
            "text_tuning": fitted.text,
            "validation": fitted.report.ndcg,
            "training": {
                "seconds": dict(clock.seconds),
                "interest": fitted.interest,
                "lm": fitted.lm,
                "refit_events": fitted.refit_events,
            },
        }
        manifest = save_bundle(out, fitted.catalogue, fitted.rankers, config, facts, fitted.model.tuned)
    report = fitted.report
    told = (report.ndcg, report.weights, report.notes, fitted.interest, fitted.text, fitted.lm)
    return FitSummary(bundle_hash(manifest), data.data_hash, clock.seconds, *told, fitted.refit_events)


@dataclass(frozen=True)
class Fitted:
    """All rankers of a bundle, in memory."""

    rankers: dict[str, Any]
    """Name -> ranker; the blend among them."""
    catalogue: Catalogue
    """The items with their embeddings."""
    model: LanguageModel
    report: BlendReport
    judged: dict[str, Any]
    """The rankers before the refit: what else is learned from the validation has to be learned from their scores."""
    interest: dict[str, Any]
    """As in `FitSummary`; so are the next ones."""
    text: dict[str, Any] = field(default_factory=dict)
    lm: dict[str, Any] = field(default_factory=dict)
    refit_events: int = 0


def fit_rankers(
    data: TrainingData,
    config: TrainingConfig,
    checkpoints: Path,
    features: Path | None = None,
    clock: Clock | None = None,
    ranks: Ranks | None = None,
) -> Fitted:
    """Fits all rankers on data at hand; the blend's weights and the epochs are chosen on `data.validation`.

    With that done they learn `data.complete` too, where there is any and `config.refit` does not say otherwise.

    Args:
        data: items, training events and validation requests, in memory.
        config: settings of every ranker.
        checkpoints: keeps text embeddings and training states, as in `fit`.
        features: the features folder, which the feature ranker reads; None where it is off.
        clock: takes the seconds of each part.
        ranks: the processes that train together; None for this one alone.

    Raises:
        LanguageModelError: the language model cannot be had.
    """
    clock = clock or Clock()
    with clock("tune"):
        model, tuning = _language_model(data, config, checkpoints)
    with clock("embed"):
        data = _embedded(data, model, checkpoints)
    if ranks and (config.interest.enabled or config.lm.enabled):
        ranks.agree(_DATA, data.data_hash)
    rankers = _solved(data, model, config, clock)
    trained: dict[str, Any] = {}
    with clock("interest"):
        if config.interest.enabled:
            rankers["interest"], trained = _interest(data, model, config, checkpoints, ranks)
    if config.feature_ranker:
        with clock("features"):
            rankers["features"] = _feature_ranker(features, data)
    with clock("blend"):
        rankers["blend"], report = fit_blend(rankers, data.validation, config.blend.cold_price)
    _tell(report)
    reranking: dict[str, Any] = {}
    with clock("lm"):
        if config.lm.enabled:
            more, reranking = _lm(data, rankers, config, checkpoints, ranks)
            rankers |= more
    with clock("refit"):
        later = refit_data(data, config)
        served = refitted(rankers, data.events.types, later, config, checkpoints, ranks) if later else rankers
    if ranks:
        ranks.leave()
    learned = len(later.events) if later else 0
    return Fitted(served, (later or data).catalogue, model, report, rankers, trained, tuning, reranking, learned)


def _solved(data: TrainingData, model: LanguageModel, config: TrainingConfig, clock: Clock) -> dict[str, Any]:
    """The rankers that are counted or solved rather than trained."""
    with clock("count"):
        rankers: dict[str, Any] = {
            "count": CountRanker.fit(data.catalogue, data.events, config.count),
            "popularity": PopularityRanker.fit(data.catalogue, data.events, config.count.popularity_half_life_days),
            "zero-shot": ZeroShotRanker(data.catalogue, model),
        }
    with clock("linear"):
        if config.linear.enabled:
            rankers["linear"] = LinearRanker.fit(data.catalogue, data.events, config.linear)
    return rankers


def _feature_ranker(features: Path | None, data: TrainingData) -> Any:
    from liverank.ranking.feature_ranker import FeatureRanker

    if features is None:
        raise ValueError("the feature ranker needs a features folder")
    return FeatureRanker.fit(features, data.catalogue)


def _language_model(
    data: TrainingData, config: TrainingConfig, checkpoints: Path
) -> tuple[LanguageModel, dict[str, Any]]:
    if config.text.tune == "off":
        return LanguageModel(config.language_model, config.max_tokens), {}
    from dataclasses import asdict

    from liverank.ranking.tuned_model import tuned_language_model

    model, report = tuned_language_model(data.catalogue.texts, data.events, config, checkpoints)
    return model, asdict(report) if report else {}


def help_fit(features: Path, config: TrainingConfig, checkpoints: Path, ranks: Ranks) -> None:
    """What every process but the first does of `fit`: it helps to train the interest model and the re-ranker.

    Raises:
        DataError: as `fit`.
        TrainingError: the first process has other data.
    """
    if not (config.interest.enabled or config.lm.enabled):
        return
    data = load_training_data(features)
    # The first process has tuned the language model and embedded the texts when it comes to this.
    ranks.agree(_DATA, data.data_hash)
    model, _ = _language_model(data, config, checkpoints)
    data = _embedded(data, model, checkpoints)
    later = refit_data(data, config)
    refit = _help_interest(data, model, later, config, checkpoints, ranks) if config.interest.enabled else None
    if config.lm.enabled:
        from liverank.ranking.lm.fitting import help_fit_lm

        count = CountRanker.fit(data.catalogue, data.events, config.count)
        help_fit_lm(data, count, config, checkpoints, ranks)
    if refit:
        refit()
    ranks.leave()


def _help_interest(
    data: TrainingData,
    model: LanguageModel,
    later: TrainingData | None,
    config: TrainingConfig,
    checkpoints: Path,
    ranks: Ranks,
) -> Callable[[], object] | None:
    """Helps to train the interest model; what then helps to refit it, where it is refitted."""
    from liverank.ranking.checkpoint import Checkpoint
    from liverank.ranking.distil import teachers_of
    from liverank.ranking.interest import help_fit_interest

    taught = teachers_of(data, model, config, checkpoints, None, ranks)
    checkpoint = Checkpoint(_checkpoint(data, model, config, checkpoints, taught))
    teachers = taught.teachers if taught else None
    chosen, texts = help_fit_interest(data.catalogue, data.events, config, checkpoint, ranks, teachers)
    if later is None:
        return None
    return partial(refit_model, chosen, texts, data.events.types, later, config, checkpoints, ranks)


def _lm(
    data: TrainingData, rankers: dict[str, Any], config: TrainingConfig, checkpoints: Path, ranks: Ranks | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    from dataclasses import asdict

    from liverank.ranking.lm.fitting import fit_lm

    more, outcome = fit_lm(data, rankers, config, checkpoints, ranks)
    return more, asdict(outcome)


def _embedded(data: TrainingData, model: LanguageModel, checkpoints: Path) -> TrainingData:
    vectors = embed_with_cache(model, data.catalogue.texts, checkpoints)
    return replace(data, catalogue=data.catalogue.with_embeddings(vectors))


def _interest(
    data: TrainingData, model: LanguageModel, config: TrainingConfig, checkpoints: Path, ranks: Ranks | None
) -> tuple[Any, dict[str, Any]]:
    from dataclasses import asdict

    from liverank.ranking.checkpoint import Checkpoint, forget_others
    from liverank.ranking.distil import teachers_of
    from liverank.ranking.interest import InterestRanker, fit_interest

    judged = _spread([labelled for labelled in data.validation if labelled.labels.any()], JUDGED_REQUESTS)
    labels = [labelled.labels for labelled in judged]
    encoded = [encode(data.catalogue, labelled.request) for labelled in judged]

    def validate(ranker: InterestRanker) -> float:
        return mean_ndcg(ranker.score_encoded(encoded), labels)

    judge = validate if judged else None
    taught = teachers_of(data, model, config, checkpoints, judge, ranks)
    path = _checkpoint(data, model, config, checkpoints, taught)
    forget_others(checkpoints, "interest", [path])
    teachers, at = taught.teachers if taught else None, Checkpoint(path)
    ranker, report = fit_interest(data.catalogue, data.events, config, model, judge, at, ranks, teachers)
    return ranker, asdict(report)


def _checkpoint(
    data: TrainingData, model: LanguageModel, config: TrainingConfig, folder: Path, taught: Taught | None
) -> Path:
    """The checkpoint file of exactly this data, model, configuration and teachers."""
    from liverank.ranking.checkpoint import checkpoint_path

    parts = [data.data_hash, model.fingerprint(), config.interest.model_dump(mode="json"), config.seed]
    return checkpoint_path(folder, "interest", [*parts, *(taught.identity if taught else ())])


def _spread(requests: Sequence[LabelledRequest], most: int) -> list[LabelledRequest]:
    step = max(1, len(requests) // most)
    return list(requests[::step][:most])


def _tell(report: BlendReport) -> None:
    for note in report.notes:
        progress.note(note)
    shown = ", ".join(f"{name} {value:.4f}" for name, value in report.ndcg.items())
    progress.note(f"validation NDCG@10: {shown}", **report.ndcg)


class Clock:
    """Seconds of each part of the step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Any:
        """Times what is done while it is open."""
        started = time.monotonic()
        yield
        self.seconds[part] = round(time.monotonic() - started, 3)
