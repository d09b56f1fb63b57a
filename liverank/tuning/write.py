"""What a study leaves: the best settings as YAML, every trial as a table, plots and the report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

from liverank.config.training import TrainingConfig
from liverank.errors import ConfigError
from liverank.tuning.result import TrialRow, TuningResult

BEST: Final = "best.yaml"
REPORT: Final = "report.html"
RESULT: Final = "result.json"


def write_result(folder: Path, result: TuningResult, present: TrainingConfig) -> None:
    """Writes all files into `folder`, each whole or not at all.

    Raises:
        ConfigError: the folder cannot be written.
    """
    from liverank.tuning.plots import draw
    from liverank.tuning.report import page

    try:
        (folder / "plots").mkdir(parents=True, exist_ok=True)
        plots = draw(result)
        for name, picture in plots.items():
            _put(folder / "plots" / f"{name}.svg", picture)
        table = trial_table(result)
        _aside(folder / "trials.parquet", lambda path: pq.write_table(table, path))
        _aside(folder / "trials.csv", lambda path: pyarrow.csv.write_csv(table, path))
        _put(folder / RESULT, json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n")
        _put(folder / REPORT, page(result, present, plots))
        _put(folder / BEST, best_yaml(result))
    except OSError as problem:
        raise ConfigError(f"{folder} cannot be written: {problem.strerror}.", "Set --out.") from None


def best_yaml(result: TuningResult) -> str:
    """The best settings as a part of `liverank.yaml`."""
    sections: dict[str, Any] = {}
    for key, value in result.best.settings.items():
        *path, name = key.split(".")
        place = sections
        for part in path:
            place = place.setdefault(part, {})
        place[name] = value
    best, default = result.best, result.default
    head = (
        f"# Best of {len(result.trials)} trials of the study {result.study}: {result.metric}@{result.k} "
        f"{best.value:.4f} on its folds, {default.value:.4f} with the settings before.\n"
        f"# On the latest window, which the search has not seen: {result.honest_means['best']:.4f} and "
        f"{result.honest_means['default']:.4f}.\n"
    )
    return head + yaml.safe_dump({"training": sections}, sort_keys=True)


def trial_table(result: TuningResult) -> pa.Table:
    """One row a trial: outcome, settings (`training.<key>`), means of each ranker, the judged ranker on each fold."""
    keys = sorted({key for trial in result.trials for key in trial.settings})
    rankers = sorted({name for trial in result.trials for name in trial.ranker_means()})
    folds = len(result.folds) - 1
    columns: dict[str, list[Any]] = {
        "trial": [trial.number for trial in result.trials],
        "state": [trial.state for trial in result.trials],
        "value": [trial.value for trial in result.trials],
        "seconds": [trial.seconds for trial in result.trials],
        "default": [trial.default for trial in result.trials],
        "same_as": [trial.same_as for trial in result.trials],
    }
    columns |= {f"training.{key}": [trial.settings.get(key) for trial in result.trials] for key in keys}
    for fold in range(folds):
        columns[f"fold_{fold + 1}"] = [_on_fold(trial, fold) for trial in result.trials]
    columns |= {f"mean_{name}": [trial.ranker_means().get(name) for trial in result.trials] for name in rankers}
    return pa.table({name: _column(values) for name, values in columns.items()})


def _on_fold(trial: TrialRow, fold: int) -> float | None:
    from liverank.tuning.judge import JUDGED

    return trial.folds[fold][JUDGED] if fold < len(trial.folds) else None


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) > 1:
        # Choices of several kinds have no column type in common.
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values)


def _put(path: Path, text: str) -> None:
    _aside(path, lambda part: part.write_text(text, encoding="utf-8"))


def _aside(path: Path, write: Any) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
