"""The pipeline on UCI Online Retail: stages, the prequential table, and the latency of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.latency import run as latency
from benchmarks.measure import Measured, measure, say
from benchmarks.page import machine
from benchmarks.pipeline_page import Serving, part

UCI = "uci-online-retail/online_retail.parquet"
CANDIDATES = (100, 500)
RATE = 50.0
"""Requests a second."""


def run(data: Path, work: Path, seconds: float) -> str:
    """Measures and returns the part's text.

    Args:
        data: folder of the real data sets.
        work: an empty folder.
        seconds: of requests for each latency figure.
    """
    real = _stages(work / "uci", str(data / UCI))
    weighed = _with_candidates(work / "uci")
    walk = measure("prequential", dataset=str(work / "uci" / "dataset"), checkpoints=str(work / "prequential"))
    say(walk)
    return part(machine("make bench ARGS='--part pipeline'"), real, weighed, walk, _serve(work / "uci", seconds))


def _with_candidates(folder: Path) -> list[Measured]:
    """The same with features of candidates, judged beside the model without them on the same lists."""
    names = ("features", "bundle", "checkpoints", "evaluation")
    at = {name: str(folder / f"candidates-{name}") for name in names}
    accepted, plain = str(folder / "checked" / "accepted"), str(folder / "bundle")
    built = measure("features", dataset=accepted, folder=at["features"], candidates=True)
    trained = measure(
        "train", features=at["features"], folder=at["bundle"], checkpoints=at["checkpoints"], candidates=True
    )
    judged = measure("evaluate", features=at["features"], bundle=at["bundle"], folder=at["evaluation"], champion=plain)
    found = [built, trained, judged]
    for done in found:
        say(done)
    return found


def _stages(folder: Path, source: str) -> list[Measured]:
    """The pipeline's library calls, one process each, on one source."""
    folder.mkdir(parents=True)
    at = {name: str(folder / name) for name in ("dataset", "checked", "features", "bundle", "evaluation", "registry")}
    accepted = str(folder / "checked" / "accepted")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ingest", {"source": source, "folder": at["dataset"]}),
        ("validate", {"dataset": at["dataset"], "folder": at["checked"]}),
        ("features", {"dataset": accepted, "folder": at["features"]}),
        (
            "train",
            {"features": at["features"], "folder": at["bundle"], "checkpoints": str(folder / "checkpoints")},
        ),
        ("evaluate", {"features": at["features"], "bundle": at["bundle"], "folder": at["evaluation"]}),
        (
            "register",
            {
                "bundle": at["bundle"],
                "evaluation": at["evaluation"],
                "accepted": accepted,
                "workspace": at["registry"],
            },
        ),
    ]
    found = []
    for name, arguments in calls:
        found.append(measure(name, **arguments))
        say(found[-1])
    return found


def _serve(folder: Path, seconds: float) -> list[Serving]:
    """Latency of the server on the bundle that was just trained."""
    from liverank.cli.demo.server import model_server
    from liverank.ranking.bundle_files import load_bundle

    config = folder / "liverank.yaml"
    config.write_text(yaml.safe_dump({"workspace": str(folder / "registry")}))
    items = load_bundle(folder / "bundle").catalogue.item_ids
    found = []
    with model_server(config, "liverank", folder / "server.log") as url:
        for candidates in CANDIDATES:
            figures = latency(url, candidates, RATE, seconds, items=items)
            found.append(Serving(candidates, figures))
            print(f"rank, {candidates} candidates: {figures}", flush=True)
    return found
