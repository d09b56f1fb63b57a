"""The models beside the champion: loaded, warmed up and swapped with it, and scored on the same thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from liverank.config import RegistryConfig, ServingConfig
from liverank.config.experiment import CHAMPION
from liverank.errors import LiverankError
from serving.model import ModelSource, ServedModel
from serving.scoring import Answer, Job, Scorer

Sources = Callable[[str], ModelSource]
"""From a model's reference, `alias:<name>` or `version:<number>`, to where it is loaded from."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionSource:
    """A version of the registry by its reference; `config` with its tracking URI filled in."""

    config: RegistryConfig
    reference: str

    def load(self) -> ServedModel:
        """Fetches and loads the version.

        Raises:
            RegistryError: the registry does not answer, has no such version or has lost its files.
            BundleError: the version's bundle is damaged.
        """
        from liverank import registry
        from liverank.ranking.bundle_files import load_bundle

        found = registry.resolve(self.config, self.reference.partition(":")[2])
        return ServedModel(found.version, load_bundle(registry.download(self.config, found.version)))


def references(config: ServingConfig) -> tuple[str, ...]:
    """The models beside the champion that a configuration wants loaded, each once."""
    variants = config.experiment.variants.values() if config.experiment else ()
    wanted = [*(variant.model for variant in variants), *(shadow.model for shadow in config.shadow.values())]
    return tuple(dict.fromkeys(reference for reference in wanted if reference != CHAMPION))


class VariantModels:
    """Models by reference. What cannot be loaded is missing, or stays as it was: the champion serves all the same."""

    def __init__(self, wanted: Iterable[str], sources: Sources) -> None:
        self._sources = {reference: sources(reference) for reference in wanted}
        self._loaded: Mapping[str, ServedModel] = {}

    def __contains__(self, reference: str) -> bool:
        return reference in self._loaded

    def __getitem__(self, reference: str) -> ServedModel:
        return self._loaded[reference]

    def get(self, reference: str) -> ServedModel | None:
        """As `[reference]`, None where it is missing."""
        return self._loaded.get(reference)

    @property
    def served(self) -> list[ServedModel]:
        """Those that are loaded."""
        return list(self._loaded.values())

    def load(self) -> dict[str, ServedModel]:
        """Loads anew what can be loaded; `take` has it serve."""
        return {
            reference: model
            for reference, source in self._sources.items()
            if (model := _attempt(reference, source.load)) is not None
        }

    def take(self, models: Mapping[str, ServedModel], ready: Callable[[ServedModel], ServedModel]) -> list[ServedModel]:
        """Makes models `ready`, then lets them take over at once; those that they took over from."""
        made = {
            reference: done
            for reference, model in models.items()
            if (done := _attempt(reference, lambda model=model: ready(model))) is not None  # type: ignore[misc]
        }
        former = [model for reference, model in self._loaded.items() if reference in made]
        self._loaded = {**self._loaded, **made}
        return former


def _attempt(reference: str, make: Callable[[], ServedModel]) -> ServedModel | None:
    try:
        return make()
    except LiverankError as problem:
        _log.warning("The model '%s' is not served: %s", reference, problem)
    except Exception:  # noqa: BLE001  an experiment must not keep the champion from serving
        _log.exception("The model '%s' is not served.", reference)
    return None


class ScorerByModel:
    """Scores a batch: the lists of each model in one call, one model after the other."""

    def __init__(self, scorer: Callable[[str], Scorer], wanted: Sequence[str]) -> None:
        self._scorers = {reference: scorer(reference) for reference in (CHAMPION, *wanted)}

    def let_go(self) -> None:
        """As `Scorer.let_go`, of every model: one that is seldom asked for would keep its predecessor for long."""
        for scorer in self._scorers.values():
            scorer.let_go()

    def __call__(self, jobs: Sequence[Job]) -> list[Answer]:
        """One answer a job, in the jobs' order."""
        models = {job.model for job in jobs}
        if len(models) == 1:
            return self._scorers[models.pop()](jobs)
        answers: dict[int, Answer] = {}
        for model in sorted(models):
            rows = [row for row, job in enumerate(jobs) if job.model == model]
            answers.update(zip(rows, self._scorers[model]([jobs[row] for row in rows]), strict=True))
        return [answers[row] for row in range(len(jobs))]
