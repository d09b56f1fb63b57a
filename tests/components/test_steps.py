"""Each component's body on real artifacts, in the pipeline's order, through the function that it wraps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kfp import dsl

from components.deploy import deploy
from components.evaluate import evaluate
from components.features import features
from components.ingest import ingest
from components.refuse import refuse
from components.register import register
from components.train import train
from components.validate import validate
from liverank.errors import StageStopped
from tests.pipelines.small import configuration, write_data

CODE = "0.1.0+test"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What every step left, one after the other: its artifacts by name and its return value."""
    root = tmp_path_factory.mktemp("steps")
    config = configuration(root / "workspace", write_data(root / "source"))
    sections = {
        name: section.model_dump(mode="json") for name in type(config).model_fields
        if hasattr(section := getattr(config.resolved(), name), "model_dump")
    }  # fmt: skip
    made = SimpleNamespace(root=root, sections=sections, workspace=config.workspace, returned={})

    def artifact(name: str, kind: type) -> object:
        setattr(made, name, kind(name=name, uri=str(root / name), metadata={}))
        return getattr(made, name)

    def step(component, **arguments):
        made.returned[component.name] = component.python_func(**arguments)

    step(
        ingest,
        data=sections["data"],
        workspace=made.workspace,
        snapshot="s",
        code=CODE,
        dataset=artifact("dataset", dsl.Dataset),
    )
    step(
        validate,
        dataset=made.dataset,
        validation=sections["validation"],
        data=sections["data"],
        workspace=made.workspace,
        code=CODE,
        accepted=artifact("accepted", dsl.Dataset),
        quarantine=artifact("quarantine", dsl.Dataset),
        report=artifact("validation_report", dsl.HTML),
    )
    step(
        features,
        dataset=made.accepted,
        config=sections["features"],
        data=sections["data"],
        training=sections["training"],
        workspace=made.workspace,
        code=CODE,
        table=artifact("table", dsl.Dataset),
    )
    step(
        train,
        features=made.table,
        config=sections["training"],
        workspace=config.workspace,
        code=CODE,
        bundle=artifact("bundle", dsl.Model),
    )
    step(
        evaluate,
        features=made.table,
        bundle=made.bundle,
        config=sections["evaluation"],
        registry=sections["registry"],
        champion="",
        code=CODE,
        evaluation=artifact("evaluation", dsl.Artifact),
        metrics=artifact("metrics", dsl.Metrics),
        report=artifact("report", dsl.HTML),
    )
    step(
        register,
        bundle=made.bundle,
        evaluation=made.evaluation,
        accepted=made.accepted,
        config=sections["registry"],
        code=CODE,
        run="run-1",
        job="job-1",
        version=artifact("version", dsl.Artifact),
    )
    step(
        deploy,
        version=made.version,
        config=sections["deployment"],
        registry=sections["registry"],
        workspace=config.workspace,
        deployed=artifact("deployed", dsl.Artifact),
    )
    return made


def test_ingest_describes_the_dataset(made):
    metadata = made.dataset.metadata
    assert metadata["rows"]["items"] == 40
    assert metadata["synthetic"] is True
    assert len(metadata["hash"]) == 64
    assert metadata["snapshot"] == "s"


def test_validate_accepts_and_says_what_it_set_aside(made):
    assert made.returned["validate"] is True
    assert made.accepted.metadata["set_aside"] > 0
    assert made.accepted.metadata["stopped_by"] == []
    assert (Path(made.accepted.path) / "result.json").is_file()
    assert list(Path(made.quarantine.path).glob("*.parquet"))
    assert "<html" in Path(made.validation_report.path).read_text()


def test_features_describe_the_split(made):
    assert (Path(made.table.path) / "requests.parquet").is_file()
    assert {"train_until", "test_until", "hash"} <= set(made.table.metadata)


def test_train_writes_a_bundle_and_its_origin(made):
    manifest = json.loads((Path(made.bundle.path) / "manifest.json").read_text())
    assert made.bundle.metadata["data_hash"] == manifest["data_hash"]
    assert made.bundle.metadata["training/interest/events_per_second"] > 0
    assert made.bundle.metadata["training/seconds/interest"] > 0


def test_evaluate_returns_the_verdict_and_keeps_finite_metrics_in_the_file_that_caching_needs(made):
    assert made.returned["evaluate"] is made.evaluation.metadata["promote"] is True
    assert made.evaluation.metadata["reasons"]
    written = json.loads(Path(made.metrics.path).read_text())
    assert written == made.metrics.metadata
    assert 0 < written["blend/ndcg_at_10"] <= 1
    assert all(type(value) is float for value in written.values())
    assert "<html" in Path(made.report.path).read_text()


def test_register_keeps_the_lineage_and_says_that_the_version_is_champion(made):
    assert made.returned["register"] is True
    version = json.loads(Path(made.version.path).read_text())
    assert version["version"] == made.version.metadata["version"] == "1"
    assert set(version["aliases"]) == {"challenger", "champion"}


def test_register_again_makes_no_second_version(made):
    again = dsl.Artifact(name="again", uri=str(made.root / "again"), metadata={})
    returned = register.python_func(
        bundle=made.bundle,
        evaluation=made.evaluation,
        accepted=made.accepted,
        config=made.sections["registry"],
        code=CODE,
        run="",
        job="job-2",
        version=again,
    )
    assert returned is True
    assert again.metadata["version"] == "1"
    assert again.metadata["created"] is False


def test_deploy_says_what_serves(made):
    assert made.deployed.metadata["version"] == "1"
    assert json.loads(Path(made.deployed.path).read_text()) == made.deployed.metadata


def test_refuse_names_the_checks_and_the_report(tmp_path):
    accepted = dsl.Dataset(name="accepted", uri=str(tmp_path), metadata={})
    report = dsl.HTML(name="report", uri="s3://runs/report", metadata={})
    checks = [{"name": "volume", "outcome": "stop"}, {"name": "unique", "outcome": "pass"}]
    (tmp_path / "result.json").write_text(json.dumps({"checks": checks}))
    with pytest.raises(StageStopped, match=r"^Validation stopped the run: volume. Its report: s3://runs/report$"):
        refuse.python_func(accepted=accepted, report=report)
