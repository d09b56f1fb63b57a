"""The whole configuration: one `liverank.yaml`, typed, frozen and closed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from liverank.config.base import Section
from liverank.config.data import DataConfig
from liverank.config.deployment import DeploymentConfig
from liverank.config.evaluation import EvaluationConfig, GateConfig
from liverank.config.features import FeatureConfig
from liverank.config.launch import LaunchConfig, TrainJobConfig
from liverank.config.monitoring import MonitoringConfig
from liverank.config.pipeline import PipelineConfig
from liverank.config.registry import RegistryConfig
from liverank.config.serving import ServingConfig
from liverank.config.store import StoreConfig
from liverank.config.store_place import from_environment, is_redis
from liverank.config.training import CountConfig, InterestConfig, TextTuningConfig, TrainingConfig
from liverank.config.tuning import TuningConfig
from liverank.config.validation import ValidationConfig
from liverank.errors import ConfigError

DEFAULT_FILE = "liverank.yaml"


class Config(Section):
    """`liverank.yaml`."""

    workspace: str = Field(".liverank", description="Folder of everything a run leaves: registry, live store, reports.")
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    features: FeatureConfig = FeatureConfig()
    training: TrainingConfig = TrainingConfig()
    tuning: TuningConfig = TuningConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    registry: RegistryConfig = RegistryConfig()
    deployment: DeploymentConfig = DeploymentConfig()
    serving: ServingConfig = ServingConfig()
    store: StoreConfig = StoreConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    pipeline: PipelineConfig = PipelineConfig()

    @model_validator(mode="after")
    def _surfaces_name_event_types(self) -> Self:
        for name, surface in self.serving.surfaces.items():
            for kind in surface.exclude_types:
                if kind not in self.data.event_weights:
                    raise ValueError(f"serving.surfaces.{name}.exclude_types: '{kind}' is not in data.event_weights")
        return self

    @property
    def workspace_path(self) -> Path:
        """The workspace folder, absolute."""
        return Path(self.workspace).expanduser().resolve()

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI in force."""
        return self.registry.tracking_uri or f"sqlite:///{self.workspace_path / 'mlflow.db'}"

    @property
    def artifact_location(self) -> str:
        """The artifact root of a new MLflow experiment, as a URI; empty where a tracking server decides."""
        if self.registry.artifact_location or not self.tracking_uri.startswith("sqlite:"):
            return self.registry.artifact_location
        return (self.workspace_path / "mlflow-artifacts").as_uri()

    @property
    def store_place(self) -> str:
        """The live store in force: an absolute path, or a URL without password."""
        place = self.serving.store or from_environment() or str(self.workspace_path / "live.db")
        return place if is_redis(place) else str(Path(place).expanduser().resolve())

    def resolved(self) -> Config:
        """The same configuration with every default that depends on the workspace filled in."""
        return self.model_copy(
            update={
                "workspace": str(self.workspace_path),
                "registry": self.registry.model_copy(
                    update={"tracking_uri": self.tracking_uri, "artifact_location": self.artifact_location}
                ),
                "serving": self.serving.model_copy(update={"store": self.store_place}),
            }
        )


def load_config(path: str | Path | None = None, overrides: dict[str, Any] | None = None) -> Config:
    """Reads `path` (or `liverank.yaml` here, if there is one, or the defaults), then sets `overrides`.

    Args:
        path: the file; one that is named must exist.
        overrides: dotted key -> value, e.g. `{"features.candidates": 50}`.

    Raises:
        ConfigError: the file is missing or no mapping, or a key or value has no meaning; says which and what is near.
    """
    values = _read(Path(path) if path else None)
    for dotted, value in (overrides or {}).items():
        _set(values, dotted.split("."), value)
    try:
        return Config.model_validate(values)
    except ValidationError as problem:
        read = path or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else "")
        where = f"In {read}, or in what is set beside it; " if read else ""
        raise ConfigError(_explain(problem), f"{where}`liverank config` shows every key.") from None


def training_section(values: Any) -> TrainingConfig:
    """The section `training` given by itself.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return Config.model_validate({"training": values}).training
    except ValidationError as problem:
        raise ConfigError(_explain(problem), "`liverank config` shows every key.") from None


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1"]` as `{"a.b": 1}`, the overrides of `load_config`; values are read as YAML.

    Raises:
        ConfigError: a setting has no `=` or its value is no YAML.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"'--set {setting}' has no '='.", "Write --set section.key=value.")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as problem:
            raise ConfigError(
                f"The value of '--set {setting}' is no YAML: {' '.join(str(problem).split())}."
            ) from problem
    return values


def _read(path: Path | None) -> dict[str, Any]:
    file = path or Path(DEFAULT_FILE)
    if not file.exists():
        if path is None:
            return {}
        raise ConfigError(f"There is no configuration file {path}.", "Name an existing file or leave --config out.")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise ConfigError(f"{file} cannot be read as YAML: {' '.join(str(problem).split())}.") from problem
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{file} must hold a mapping of sections, not {type(values).__name__}.")
    return values or {}


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for depth, key in enumerate(keys[:-1], 1):
        # A section without keys is written as nothing at all.
        if values.get(key) is None:
            values[key] = {}
        if not isinstance(values[key], dict):
            raise ConfigError(
                f"'{'.'.join(keys[:depth])}' is set to {values[key]!r}, so that '{'.'.join(keys)}' has no place.",
                "Set one of the two.",
            )
        values = values[key]
    values[keys[-1]] = value


def _explain(problem: ValidationError) -> str:
    lines = []
    for error in problem.errors():
        where = [str(part) for part in error["loc"]]
        if error["type"] == "extra_forbidden":
            lines.append(f"Unknown key '{'.'.join(where)}'{_nearest(where)}")
        else:
            lines.append(f"'{'.'.join(where)}': {error['msg']}.")
    return " ".join(lines)


def _nearest(where: list[str]) -> str:
    section: Any = Config
    for part in where[:-1]:
        fields = getattr(section, "model_fields", {})
        # Inside a list or a mapping the place is a number or a name of the user's.
        inner = (kind for kind in get_args(section) if hasattr(kind, "model_fields"))
        section = fields[part].annotation if part in fields else next(inner, None)
    if not hasattr(section, "model_fields"):
        return "."
    near = difflib.get_close_matches(where[-1], section.model_fields, n=1, cutoff=0.5)
    return f"; did you mean '{'.'.join([*where[:-1], near[0]])}'?" if near else "."


__all__ = [
    "Config",
    "CountConfig",
    "DataConfig",
    "DeploymentConfig",
    "EvaluationConfig",
    "FeatureConfig",
    "GateConfig",
    "InterestConfig",
    "LaunchConfig",
    "MonitoringConfig",
    "PipelineConfig",
    "RegistryConfig",
    "Section",
    "ServingConfig",
    "StoreConfig",
    "TextTuningConfig",
    "TrainJobConfig",
    "TrainingConfig",
    "TuningConfig",
    "ValidationConfig",
    "load_config",
    "parse_settings",
    "training_section",
]
