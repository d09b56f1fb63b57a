"""The way to the MLflow store: prepared once, locked where a change must be alone, and refused within seconds."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from liverank.config.registry import RegistryConfig
from liverank.environment import silence_telemetry
from liverank.errors import RegistryError

SQLITE = "sqlite:///"
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""MLflow's own defaults let a dead server take minutes and draw a bar for each file; what the user has set stays."""


@contextmanager
def connected(config: RegistryConfig) -> Iterator[Any]:
    """An `MlflowClient` on the configured store; the first use of an SQLite file creates it.

    Raises:
        RegistryError: MLflow is not installed, the store does not answer, or MLflow refuses a call made inside.
    """
    uri = _uri(config)
    silence_telemetry()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    _check_server(uri, config.timeout_seconds)
    mlflow = _import_mlflow()
    with _translated(uri):
        if uri.startswith(SQLITE):
            _prepare(config)
        yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def locked(config: RegistryConfig) -> Iterator[None]:
    """One change at a time: MLflow has no compare-and-swap for aliases.

    Beside the SQLite file the lock holds for all its users; for a server it holds on this machine, so run the step
    that promotes in one place only.

    Raises:
        RegistryError: the folder of the SQLite file cannot be made.
    """
    import fcntl

    path = _lock_path(_uri(config))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    except OSError as problem:
        raise RegistryError(
            f"The registry's folder {path.parent} cannot be used: {problem}.", "Set workspace or registry.tracking_uri."
        ) from problem
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def fluent(config: RegistryConfig) -> Iterator[Any]:
    """The `mlflow` module with its module-level functions on the configured store, quiet, and set back afterwards."""
    mlflow = _import_mlflow()
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    log = logging.getLogger("mlflow")
    level = log.level
    mlflow.set_tracking_uri(_uri(config))
    log.setLevel(logging.WARNING)
    try:
        yield mlflow
    finally:
        log.setLevel(level)
        mlflow.set_tracking_uri(before)


def _uri(config: RegistryConfig) -> str:
    if not config.tracking_uri:
        raise RegistryError("No tracking URI is set.", "Use Config.resolved(), or set registry.tracking_uri.")
    return config.tracking_uri


def _import_mlflow() -> Any:
    try:
        import mlflow
    except ImportError as problem:
        raise RegistryError("MLflow is not installed.", "Install it: pip install 'liverank[train]'.") from problem
    return mlflow


def _check_server(uri: str, seconds: float) -> None:
    """Any HTTP answer will do: what it means is for MLflow to find out."""
    if not uri.startswith(("http://", "https://")):
        return
    import httpx

    try:
        httpx.get(uri.rstrip("/") + "/health", timeout=seconds)
    except httpx.HTTPError as problem:
        raise RegistryError(
            f"The tracking server {_without_password(uri)} does not answer: {problem}.",
            "Start it, or set registry.tracking_uri (empty for SQLite in the workspace).",
        ) from problem


def _prepare(config: RegistryConfig) -> None:
    """Creates the SQLite store alone: of several processes that do it at once, all but one die of it."""
    # Its migrations announce themselves on standard error at level INFO, line by line.
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    with locked(config):
        MlflowClient(tracking_uri=config.tracking_uri).search_experiments(max_results=1)


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as problem:
        raise RegistryError(
            f"The registry {_without_password(uri)} refused: {str(problem).splitlines()[0]}",
            "Check registry.tracking_uri; --debug shows more.",
        ) from problem


def _lock_path(uri: str) -> Path:
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE) + ".lock")
    return Path(tempfile.gettempdir()) / f"liverank-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.lock"


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else uri
