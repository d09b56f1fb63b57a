"""The stages of the pipeline as the benchmark calls them: one library function each, arguments and result as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from liverank.config import Config
from liverank.events import ARROW_SCHEMAS


def generate(folder: str, users: int, items: int, impressions_per_user: float) -> dict[str, Any]:
    """Synthetic events of the wanted number, as `liverank data generate` writes them."""
    from liverank.data.synthetic import generate
    from liverank.data.tastes import SyntheticSettings

    settings = SyntheticSettings(users=users, items=items, impressions_per_user=impressions_per_user)
    return {name: table.num_rows for name, table in generate(settings, Path(folder)).tables.items()}


def ingest(source: str, folder: str) -> dict[str, Any]:
    """The source as a dataset folder."""
    from liverank.config import DataConfig
    from liverank.data.ingest import ingest

    return dict(ingest(DataConfig(source=source), Path(folder)).rows)


def validate(dataset: str, folder: str) -> dict[str, Any]:
    """The accepted rows."""
    from liverank.validation.run import validate

    config, out = Config(), Path(folder)
    out.mkdir(parents=True)
    now = datetime.now(UTC)
    result = validate(
        Path(dataset), config.validation, config.data, out / "accepted", out / "quarantine", out / "report.html", now
    )
    return {"ok": result.ok}


def features(dataset: str, folder: str) -> dict[str, Any]:
    """The features folder."""
    from liverank.features.build import build_features

    config = Config()
    build_features(Path(dataset), Path(folder), config.features, config.data, config.training)
    return {"tables": list(ARROW_SCHEMAS)}


def train(features: str, folder: str, checkpoints: str) -> dict[str, Any]:
    """The bundle."""
    from liverank.ranking.fit import fit

    fit(Path(features), Path(folder), Config().training, Path(checkpoints))
    return {}


def evaluate(features: str, bundle: str, folder: str) -> dict[str, Any]:
    """The evaluation folder."""
    from liverank.evaluation.run import evaluate

    result = evaluate(Path(features), Path(bundle), Path(folder), Config().evaluation, None)
    return {"promote": result.promote, **result.metrics}


def prequential(dataset: str, checkpoints: str) -> dict[str, Any]:
    """Every basket from the cut on, scored before it is learned from."""
    from liverank.ranking.prequential import run

    return dict(run(Path(dataset), Path(checkpoints), Config().training))


def register(bundle: str, evaluation: str, accepted: str, workspace: str) -> dict[str, Any]:
    """The version in a fresh registry, which becomes its champion when the gate says so."""
    from liverank.registry import Lineage, register

    lineage = Lineage(data_hash="benchmark", code_version="benchmark", pipeline_run_id="benchmark")
    config = Config(workspace=workspace).resolved().registry
    registered = register(Path(bundle), Path(evaluation), Path(accepted) / "result.json", config, lineage=lineage)
    return {"version": registered.version, "promoted": registered.promoted}
