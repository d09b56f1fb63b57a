"""What an MLflow run says of a training: its configuration, its figures, the curves of its epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from liverank.ranking.training_figures import curves, figures

PARAMETERS_AT_ONCE = 100
METRICS_AT_ONCE = 1000


def log_parameters(client: Any, run_id: str, config: Mapping[str, Any]) -> None:
    """The configuration, one parameter a key."""
    from mlflow.entities import Param

    parameters = [Param(name, str(value)) for name, value in _flat("", config)]
    for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=parameters[start : start + PARAMETERS_AT_ONCE])


def log_training(client: Any, run_id: str, training: Mapping[str, Any]) -> None:
    """Speed, memory and seconds of the training, and the curves of its epochs."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in figures(training).items()]
    metrics += [
        Metric(name, value, now, epoch)
        for name, values in curves(training).items()
        for epoch, value in enumerate(values, start=1)
    ]
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_AT_ONCE])
    interest = training.get("interest")
    if interest:
        client.log_batch(run_id, params=[Param("trained_on", f"{interest['processes']} x {interest['device']}")])


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
