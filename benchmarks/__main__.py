"""`python -m benchmarks`: measures the stages, the prequential table and the server, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.latency import run as latency
from benchmarks.measure import Measured, measure
from benchmarks.report import Serving, machine, page
from liverank.environment import silence_telemetry

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
UCI = "uci-online-retail/online_retail.parquet"
CANDIDATES = (100, 500)
RATE = 50.0
"""Requests a second."""


def main() -> int:
    """Runs what is asked for; 2 where the real data is not at hand."""
    silence_telemetry()
    options = _options()
    source = options.data / UCI
    if not source.exists():
        print(f"Error: {source} is not at hand. Set LIVERANK_DATA to the folder of real data sets.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        real = _stages(work / "uci", str(source), train=True)
        walk = measure("prequential", dataset=str(work / "uci" / "dataset"), checkpoints=str(work / "prequential"))
        _say(walk)
        serving = _serve(work / "uci", options.seconds)
        made = measure("generate", folder=str(work / "made"), **_size(options.events))
        _say(made)
        large = [made, *_stages(work / "large", str(work / "made"), train=False)]
    options.out.write_text(page(machine(), real, large, walk, serving), encoding="utf-8")
    print(f"written: {options.out}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LIVERANK_DATA") or "../shared/data"))
    parser.add_argument("--events", type=int, default=1_000_000, help="generated events")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of requests for each latency figure")
    parser.add_argument("--out", type=Path, default=PAGE)
    return parser.parse_args()


def _size(events: int) -> dict[str, Any]:
    """Users, items and lists that give about so many interactions: some 23.6 a user."""
    return {"users": max(100, events // 23), "items": 10_000, "impressions_per_user": 6.5}


def _stages(folder: Path, source: str, train: bool) -> list[Measured]:
    """The pipeline's library calls, one process each, on one source."""
    folder.mkdir(parents=True)
    at = {name: str(folder / name) for name in ("dataset", "checked", "features", "bundle", "evaluation", "registry")}
    accepted = str(folder / "checked" / "accepted")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ingest", {"source": source, "folder": at["dataset"]}),
        ("validate", {"dataset": at["dataset"], "folder": at["checked"]}),
        ("features", {"dataset": accepted, "folder": at["features"]}),
    ]
    if train:
        fitted = {"features": at["features"], "folder": at["bundle"], "checkpoints": str(folder / "checkpoints")}
        judged = {"features": at["features"], "bundle": at["bundle"], "folder": at["evaluation"]}
        kept = {"bundle": at["bundle"], "evaluation": at["evaluation"], "accepted": accepted}
        calls += [
            ("train", fitted),
            ("evaluate", judged),
            ("register", {**kept, "workspace": at["registry"]}),
        ]
    found = []
    for name, arguments in calls:
        found.append(measure(name, **arguments))
        _say(found[-1])
    return found


def _serve(folder: Path, seconds: float) -> list[Serving]:
    """Latency of the server on the bundle that was just trained."""
    from liverank.cli.demo.server import model_server
    from liverank.ranking.bundle import load_bundle

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


def _say(done: Measured) -> None:
    print(f"{done.stage}: {done.seconds:.1f} s, {done.peak_mib:.0f} MiB {done.result}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
