"""The register step: one MLflow version a bundle, with everything that is known of it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import liverank
from liverank import progress
from liverank.config.registry import RegistryConfig
from liverank.errors import RegistryError
from liverank.ranking.bundle import bundle_hash
from liverank.ranking.bundle_files import verify
from liverank.registry.card import Lineage, description, model_card
from liverank.registry.connection import connected, fluent, locked
from liverank.registry.promotion import promote
from liverank.registry.run_facts import log_parameters, log_training
from liverank.registry.versions import BUNDLE_IN_MODEL, CHALLENGER, VersionInfo, download, find, with_bundle

REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn", "torch", "transformers")
"""Packages whose installed versions a model is pinned to, beside liverank itself."""


@dataclass(frozen=True)
class RegisteredVersion:
    """What `register` made or found."""

    version: str
    model_name: str
    uri: str
    """`models:/<name>/<version>`."""
    run_id: str
    bundle_hash: str
    aliases: tuple[str, ...]
    created: bool
    """False where this very bundle was registered before."""
    promoted: bool
    """Whether it is the champion now."""


@dataclass(frozen=True)
class _Submission:
    bundle: Path
    hash: str
    manifest: Mapping[str, Any]
    evaluation: Path
    judged: Mapping[str, Any]
    validation: Path
    checked: Mapping[str, Any]
    lineage: Lineage


def register(
    bundle: Path,
    evaluation: Path,
    validation: Path,
    config: RegistryConfig,
    lineage: Lineage,
    now: datetime | None = None,
) -> RegisteredVersion:
    """Registers the bundle as `challenger`, and as `champion` where the gate's verdict says so.

    The same bundle again gives the version it has. A verdict that was given against another champion than the present
    one moves nothing.

    Args:
        bundle: the bundle folder; its hashes are verified here and again in the store.
        evaluation: the evaluation folder, with `metrics.json`.
        validation: the dataset's `result.json`.
        config: the registry.
        lineage: data, code and run that the model comes from.
        now: the time of a promotion; None for the present.

    Raises:
        BundleError: the bundle is altered.
        RegistryError: the evaluation is of another bundle, a file is missing, or the registry does not answer.
    """
    submission = _submission(bundle, evaluation, validation, lineage)
    with connected(config) as client, locked(config):
        found = with_bundle(client, config, submission.hash)
        created = found is None
        version = found.version if found else _create(client, config, submission)
        client.set_registered_model_alias(config.model_name, CHALLENGER, version)
    if bundle_hash(verify(download(config, version))) != submission.hash:
        raise RegistryError(f"Version {version} does not hold the bundle that was registered.", "Delete it; try again.")
    if submission.judged["promote"]:
        _promote(config, version, submission, now)
    with connected(config) as client:
        return _registered(find(client, config, version), created)


def _submission(bundle: Path, evaluation: Path, validation: Path, lineage: Lineage) -> _Submission:
    manifest = verify(bundle)
    judged = _json(evaluation / "metrics.json", "the evaluation's figures")
    identity = bundle_hash(manifest)
    if judged.get("bundle_hash") != identity:
        raise RegistryError(f"{evaluation} judges another bundle than {bundle}.", "Evaluate this bundle first.")
    checked = _json(validation, "the validation's result")
    return _Submission(bundle, identity, manifest, evaluation, judged, validation, checked, lineage)


def _json(path: Path, what: str) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:
        raise RegistryError(f"{path}, {what}, cannot be read: {problem}.", "Run the step that writes it.") from problem


def _promote(config: RegistryConfig, version: str, submission: _Submission, now: datetime | None) -> None:
    reason = "The gate: " + " ".join(submission.judged["reasons"])
    try:
        promote(config, version, reason, now, replaces=submission.judged["champion_hash"])
    except RegistryError as problem:
        # Somebody promoted another model meanwhile: the version stays challenger, and the next run judges afresh.
        progress.note(f"Version {version} is not promoted. {problem}")


def _create(client: Any, config: RegistryConfig, submission: _Submission) -> str:
    experiment = experiment_id(client, config)
    tags = _tags(submission)
    card = model_card(
        config.model_name,
        submission.manifest,
        submission.judged,
        submission.checked,
        submission.lineage,
        submission.hash,
    )
    with (
        progress.stage("registering"),
        fluent(config) as mlflow,
        mlflow.start_run(experiment_id=experiment, run_name=f"{config.model_name} {submission.hash[:8]}", tags=tags),
    ):
        run_id = mlflow.active_run().info.run_id
        log_parameters(client, run_id, submission.manifest.get("config", {}))
        log_training(client, run_id, submission.manifest.get("training", {}))
        model = _log_model(mlflow, submission, card, tags)
        mlflow.log_metrics(submission.judged["metrics"], model_id=model.model_id)
        # Inside: MLflow's SQL registry asks the module-level store for the logged model.
        return _new_version(client, config, model, run_id, tags, card)


def _new_version(client: Any, config: RegistryConfig, model: Any, run_id: str, tags: dict[str, str], card: str) -> str:
    if not client.search_registered_models(f"name = '{config.model_name}'"):
        client.create_registered_model(config.model_name, description="A liverank re-ranker.")
    # Tags and card travel in the call that makes the version: there is never one that `with_bundle` cannot find.
    made = client.create_model_version(
        config.model_name, model.model_uri, run_id, tags, description=description(card), model_id=model.model_id
    )
    return str(made.version)


def experiment_id(client: Any, config: RegistryConfig) -> str:
    """Id of the configured experiment, which is made if need be."""
    found = client.get_experiment_by_name(config.experiment)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(config.experiment, artifact_location=config.artifact_location or None))


def _tags(submission: _Submission) -> dict[str, str]:
    return {
        "bundle_hash": submission.hash,
        "data_hash": submission.lineage.data_hash,
        "code_version": submission.lineage.code_version,
        "pipeline_run_id": submission.lineage.pipeline_run_id,
        "validation": "ok" if submission.checked.get("ok") else "not ok",
        "gate": "promote" if submission.judged["promote"] else "refuse",
    }


def _log_model(mlflow: Any, submission: _Submission, card: str, tags: dict[str, str]) -> Any:
    from liverank.registry import schema

    with _staged(submission, card) as artifacts:
        return mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts=artifacts,
            signature=schema.signature(),
            input_example=schema.example(artifacts["bundle"]),
            pip_requirements=_requirements(),
            tags=tags,
        )


@contextmanager
def _staged(submission: _Submission, card: str) -> Iterator[dict[str, str]]:
    """The version's files under the names they shall have: MLflow keeps each artifact's own last name."""
    with tempfile.TemporaryDirectory(prefix="liverank-register-") as folder:
        root = Path(folder)
        shutil.copytree(submission.bundle, root / Path(BUNDLE_IN_MODEL).name)
        shutil.copytree(submission.evaluation, root / "evaluation")
        (root / "validation").mkdir()
        shutil.copyfile(submission.validation, root / "validation" / "result.json")
        (root / "README.md").write_text(card, encoding="utf-8")
        yield {path.stem.lower(): str(path) for path in root.iterdir()}


def _requirements() -> list[str]:
    pins = [f"liverank=={liverank.__version__}"]
    for package in REQUIREMENTS:
        try:
            pins.append(f"{package}=={metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return pins


def _registered(found: VersionInfo, created: bool) -> RegisteredVersion:
    return RegisteredVersion(
        version=found.version,
        model_name=found.model_name,
        uri=found.uri,
        run_id=found.run_id,
        bundle_hash=found.bundle_hash,
        aliases=found.aliases,
        created=created,
        promoted="champion" in found.aliases,
    )
