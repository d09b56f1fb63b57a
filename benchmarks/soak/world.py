"""A registry with two versions of one model, trained on generated events, and the configurations of the servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.measure import measure, say

VERSIONS: Final = ("1", "2")


@dataclass(frozen=True)
class Size:
    """Of the generated world; how well its models rank is not measured."""

    users: int = 400
    items: int = 1500
    lists: int = 6
    epochs: int = 1
    """Of the interest model; 0: without it."""


def make(work: Path, size: Size) -> list[str]:
    """Makes the registry in `work`, version 1 its champion, and returns the items that the models know."""
    told = {"users": size.users, "items": size.items, "lists": size.lists, "epochs": size.epochs}
    done = measure("soak_registry", folder=str(work), **told)
    items = list(done.result["items"])
    say(replace(done, result={"items": len(items)}))
    return items


def configuration(work: Path, workspace: Path) -> Path:
    """The file of a server on that registry: a workspace of its own, all else by default."""
    workspace.mkdir(parents=True, exist_ok=True)
    path = workspace / "liverank.yaml"
    registry = {"tracking_uri": f"sqlite:///{_registry(work)}/mlflow.db"}
    path.write_text(yaml.safe_dump({"workspace": str(workspace), "registry": registry}), encoding="utf-8")
    return path


def _registry(work: Path) -> Path:
    return work.resolve() / "registry"


def registry(folder: str, users: int, items: int, lists: int, epochs: int) -> dict[str, Any]:
    """The stage: generated events, two bundles of different seeds, both registered."""
    from liverank.config import load_config
    from liverank.data.ingest import ingest
    from liverank.data.synthetic import generate
    from liverank.data.tastes import SyntheticSettings
    from liverank.evaluation.run import evaluate
    from liverank.features.build import build_features
    from liverank.ranking.bundle_files import load_bundle
    from liverank.ranking.fit import fit
    from liverank.registry import Lineage, promote, register

    work = Path(folder)
    network = {"training.interest.epochs": epochs} if epochs else {"training.interest.enabled": False}
    place = {"workspace": str(_registry(work)), "data.source": str(work / "source")}
    config = load_config(overrides={**place, **network, "training.refit.enabled": False, "training.threads": 1})
    generate(SyntheticSettings(users=users, items=items, impressions_per_user=lists), work / "source")
    ingest(config.data, work / "dataset")
    build_features(work / "dataset", work / "features", config.features, config.data, config.training)
    (work / "result.json").write_text('{"ok": true, "rows": {}, "set_aside": 0}', encoding="utf-8")
    where = config.resolved().registry
    for version in VERSIONS:
        bundle, judged = work / f"bundle-{version}", work / f"evaluation-{version}"
        # Without a network the seed alone makes no other model, and the same model is no other version.
        half_life = config.training.count.half_life_days * int(version)
        count = config.training.count.model_copy(update={"half_life_days": half_life})
        training = config.training.model_copy(update={"seed": int(version), "count": count})
        fit(work / "features", bundle, training, work / f"checkpoints-{version}")
        evaluate(work / "features", bundle, judged, config.evaluation)
        lineage = Lineage(data_hash="soak", code_version="soak", pipeline_run_id=f"soak {version}")
        register(bundle, judged, work / "result.json", where, lineage)
    promote(where, VERSIONS[0], "the soak begins")
    return {"items": list(load_bundle(work / "bundle-1").catalogue.item_ids)}


STAGES: Final[Mapping[str, Any]] = {"soak_registry": registry}
