"""A search of settings in MLflow: one run for the study, one nested run a trial; logged again it adds what is new."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liverank.config.registry import RegistryConfig
from liverank.registry.connection import connected, locked
from liverank.registry.registering import experiment_id
from liverank.registry.run_facts import PARAMETERS_AT_ONCE

if TYPE_CHECKING:
    from liverank.tuning.result import TrialRow, TuningResult

STUDY: Final = "liverank.study"
"""Tag of a study's run, and of its trials' runs: the name of the study."""
TRIAL: Final = "liverank.trial"
"""Tag of a trial's run: its number."""
PARENT: Final = "mlflow.parentRunId"
FILES: Final = ("best.yaml", "report.html", "result.json", "trials.csv", "trials.parquet")


def log_study(config: RegistryConfig, result: TuningResult, folder: Path) -> str:
    """Logs the study and the trials that MLflow does not have yet; gives the id of the study's run.

    Args:
        config: the registry.
        result: what the study found.
        folder: the files that `liverank.tuning.write` made.

    Raises:
        RegistryError: the store does not answer, or refuses.
    """
    with connected(config) as client, locked(config):
        experiment = experiment_id(client, config)
        run_id = _study_run(client, experiment, result)
        known = {run.data.tags[TRIAL] for run in _runs(client, experiment, f"tags.`{PARENT}` = '{run_id}'")}
        for trial in result.trials:
            if str(trial.number) not in known:
                _log_trial(client, experiment, run_id, trial, result)
        _log_outcome(client, run_id, result, folder)
    return run_id


def _study_run(client: Any, experiment: str, result: TuningResult) -> str:
    for run in _runs(client, experiment, f"tags.`{STUDY}` = '{result.study}'"):
        if TRIAL not in run.data.tags:
            return str(run.info.run_id)
    made = client.create_run(experiment, tags={STUDY: result.study}, run_name=f"tune {result.study}")
    facts = {"metric": f"{result.metric}@{result.k}", "sampler": result.sampler, "pruner": result.pruner}
    _log(client, made.info.run_id, {**facts, "folds": len(result.folds) - 1}, {})
    return str(made.info.run_id)


def _runs(client: Any, experiment: str, wanted: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], filter_string=wanted, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _log_trial(client: Any, experiment: str, parent: str, trial: TrialRow, result: TuningResult) -> None:
    tags = {PARENT: parent, STUDY: result.study, "state": trial.state, "default": str(trial.default).lower()}
    made = client.create_run(experiment, tags=tags, run_name=f"trial {trial.number}")
    run_id = made.info.run_id
    name = f"{result.metric}_at_{result.k}"
    means = {f"{ranker}/{name}": mean for ranker, mean in trial.ranker_means().items()}
    values = {name: trial.value} if trial.value is not None else {}
    _log(client, run_id, trial.settings, {**means, **values, "seconds": trial.seconds})
    by_fold = [
        (f"fold/{ranker}/{name}", value, at) for at, fold in enumerate(trial.folds) for ranker, value in fold.items()
    ]
    _log_steps(client, run_id, by_fold)
    # Last: a run without this tag was cut off and is logged anew.
    client.set_tag(run_id, TRIAL, str(trial.number))
    client.set_terminated(run_id)


def _log(client: Any, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Param

    given = [Param(name, str(value)) for name, value in parameters.items()]
    for start in range(0, len(given), PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=given[start : start + PARAMETERS_AT_ONCE])
    _log_steps(client, run_id, [(name, value, 0) for name, value in metrics.items()])


def _log_steps(client: Any, run_id: str, values: list[tuple[str, float, int]]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value, step in values])


def _log_outcome(client: Any, run_id: str, result: TuningResult, folder: Path) -> None:
    _log(client, run_id, {}, result.metrics())
    client.set_tag(run_id, "best_trial", str(result.best.number))
    for key, value in result.best.settings.items():
        client.set_tag(run_id, f"best.{key}", str(value))
    for name in FILES:
        client.log_artifact(run_id, str(folder / name))
    client.log_artifacts(run_id, str(folder / "plots"), "plots")
    client.set_terminated(run_id)
