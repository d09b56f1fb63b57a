"""A three-step pipeline with the training pipeline's parameters, quick enough to be run, failed and killed at will.

What its steps do is steered by files in the workspace, which is no input of a step: touching one changes nothing that
the cache looks at.
"""

from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components.component import component


@component
def first(workspace: str, snapshot: str, code: str, data: dsl.Output[dsl.Dataset]) -> bool:
    import pathlib

    from liverank.progress import note

    folder = pathlib.Path(workspace)
    with open(folder / "first.ran", "a") as file:
        file.write("x")
    note("first has run")
    pathlib.Path(data.path).write_text(snapshot)
    return not (folder / "refuse").exists()


@component
def second(workspace: str, data: dsl.Input[dsl.Dataset], metrics: dsl.Output[dsl.Metrics]) -> str:
    import json
    import os
    import pathlib
    import time

    from liverank.errors import DataError, StageStopped

    folder = pathlib.Path(workspace)
    with open(folder / "second.ran", "a") as file:
        file.write("x")
    if (folder / "bad-data").exists():
        raise DataError("There is no file clicks.csv.", "Name one that exists.")
    if (folder / "stop").exists():
        raise StageStopped("Validation stopped the run: unique-events.", "Its report: r.html")
    if (folder / "defect").exists():
        raise ZeroDivisionError("division by zero")
    if (folder / "die").exists():
        print("about to die", flush=True)  # noqa: T201
        os.kill(os.getpid(), 9)
    if (folder / "sleep").exists():
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    metrics.log_metric("ndcg", 0.5)
    pathlib.Path(metrics.path).write_text(json.dumps(metrics.metadata))
    return pathlib.Path(data.path).read_text()


@component
def third(workspace: str, value: str) -> str:
    import pathlib

    with open(pathlib.Path(workspace) / "third.ran", "a") as file:
        file.write("x")
    return value


@dsl.pipeline(name="toy")
def toy(
    data: dict,
    validation: dict,
    features: dict,
    training: dict,
    evaluation: dict,
    registry: dict,
    deployment: dict,
    workspace: str,
    snapshot: str,
    champion: str,
    code: str,
    run: str,
):
    one = first(workspace=workspace, snapshot=snapshot, code=code)
    with dsl.If(one.outputs["Output"] == True):  # noqa: E712
        two = second(workspace=workspace, data=one.outputs["data"])
        third(workspace=workspace, value=two.outputs["Output"])


def compile_toy(folder: Path) -> Path:
    path = folder / "toy.yaml"
    compiler.Compiler().compile(toy, str(path))
    return path


def runs(workspace: Path) -> dict[str, Any]:
    """How often each step has run."""
    return {
        name: len(file.read_text()) if (file := workspace / f"{name}.ran").exists() else 0
        for name in ("first", "second", "third")
    }
