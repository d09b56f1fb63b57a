"""The pipeline's arguments from a configuration, refused here when they could not arrive as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from liverank.config import Config
from liverank.config.replayed_data import with_replayed
from liverank.errors import ConfigError
from liverank.validation.own_suites import read_suites

SECTIONS = ("data", "validation", "features", "training", "tuning", "evaluation", "registry", "deployment")
MAX_BYTES = 100_000
"""Arguments travel on a command line, where one may have 128 KiB; the rest is the step's own text."""

_PASSWORD = re.compile(
    # user:password@host, and the parameters by which stores and databases take them.
    r"://[^/@\s:]*:[^/@\s]+@|[?&;](?:password|passwd|pwd|token|secret|access_key|secret_key|sasl[._]password|"
    r"sig|x-amz-signature|x-goog-signature)=[^&;\s]",
    re.IGNORECASE,
)


def asked_for(pipeline: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Of the arguments those that a compiled pipeline has as parameters."""
    text = pipeline.read_text(encoding="utf-8")
    asked = next(yaml.safe_load_all(text))["root"]["inputDefinitions"]["parameters"]
    return {name: value for name, value in arguments.items() if name in asked}


def pipeline_arguments(config: Config, **extra: str) -> dict[str, Any]:
    """The parameters that pipelines take: each section as a mapping, and `extra` (snapshot, code, ...).

    Raises:
        ConfigError: a password in a value (parameters are shown and logged), or more than a command line takes.
    """
    # A parameter of Kubeflow has no value for "none": such keys are left out, which says the same.
    arguments: dict[str, Any] = {
        name: getattr(config, name).model_dump(mode="json", exclude_none=True) for name in SECTIONS
    }
    arguments |= {"workspace": config.workspace, **extra}
    for key, text in strings(arguments):
        if _PASSWORD.search(text):
            raise ConfigError(
                f"'{key}' holds a password, and a pipeline shows its parameters.",
                "Leave it out and give the credentials in the environment (pipeline.secrets on Kubeflow).",
            )
    if len(json.dumps(arguments).encode()) > MAX_BYTES:
        raise ConfigError(f"The configuration has more than {MAX_BYTES} bytes, more than a step's command line takes.")
    return arguments


def absolute(config: Config) -> Config:
    """The configuration with the workspace's defaults filled in, local paths made absolute, and files of suites read.

    Rows that `liverank data replay` let pass in the workspace are one more source.

    Raises:
        ConfigError: a suite is missing or no JSON.
    """
    config = config.resolved()
    paths = {
        "source": _absolute(config.data.source),
        "live_store": _absolute(config.data.live_store),
        "sources": tuple(one.model_copy(update={"source": _absolute(one.source)}) for one in config.data.sources),
    }
    data = with_replayed(config.data.model_copy(update=paths), config.workspace_path)
    # A step knows no file of the user's: suites travel as what is in them.
    validation = config.validation.model_copy(update={"suites": tuple(read_suites(config.validation.suites))})
    return config.model_copy(update={"data": data, "validation": validation})


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute()) if path and "://" not in path else path


def strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in nested mappings and lists, keys of mappings included, with its dotted place."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield key, str(name)
            yield from strings(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner, key)
