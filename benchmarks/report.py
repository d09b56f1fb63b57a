"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured
from liverank import __version__

PACKAGES = ("torch", "transformers", "duckdb", "sqlframe", "great-expectations", "mlflow", "kserve", "numpy", "scipy")
PUBLISHED = """| popularity, half-life 14 days | .1171 / .533 | .0974 / .510 | .0626 / .314 |
| what the customer bought most | .2696 / .730 | .0974 / .510 | - |
| co-occurrence | - | - | .0638 / .294 |
| co-occurrence + 0.5 TF-IDF + popularity | - | - | .0765 / .358 |
"""
"""The rows to beat."""


@dataclass(frozen=True)
class Serving:
    """One latency measurement: candidates in a request, and figures in ms."""

    candidates: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Bar:
    """What a figure should be at most."""

    name: str
    measured: float
    most: float
    unit: str

    def row(self) -> str:
        """The bar as a table row."""
        verdict = "met" if self.measured <= self.most else "**missed**"
        return f"| {self.name} | {self.measured:,.1f} {self.unit} | {self.most:,.0f} {self.unit} | {verdict} |\n"


def machine() -> str:
    """Processor, cores, memory, system, versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"* Machine: {cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.system()}; no GPU\n"
        f"* Python {platform.python_version()}, liverank {__version__}, {versions}\n"
        f"* Date: {datetime.now(UTC):%Y-%m-%d}\n* Command: `make bench`\n"
    )


def page(
    where: str, real: Sequence[Measured], large: Sequence[Measured], walk: Measured, serving: Sequence[Serving]
) -> str:
    """The whole page."""
    return "".join(
        [
            "# Benchmarks\n\nWritten by `make bench`; every figure was measured in that run, "
            "one after the other, but for the table of rows to beat.\n\n",
            where,
            "\n## Against the bars\n\n| | measured | bar | |\n|---|---|---|---|\n",
            *(bar.row() for bar in _bars(real, large, serving)),
            "\n## Stages on UCI Online Retail (541,909 raw lines)\n\n",
            _stages(real),
            "\n## Stages on generated events\n\n",
            f"{large[0].result.get('interactions', 0):,} interactions, "
            f"{large[0].result.get('impressions', 0):,} impressions, {large[0].result.get('items', 0):,} items.\n\n",
            _stages(large),
            "\n## Offline evaluation on UCI\n\n",
            _evaluation(_of(real, "evaluate").result),
            "\n## UCI Online Retail, prequential\n\n",
            _walk(walk),
            "\n## `POST /v1/rank` over HTTP\n\nOpen loop at 50 requests a second, users with 50 events, the champion "
            "(blend) of the UCI run above; client and server on the same two cores.\n\n",
            _serving(serving),
        ]
    )


def _bars(real: Sequence[Measured], large: Sequence[Measured], serving: Sequence[Serving]) -> Iterator[Bar]:
    widest = max(serving, key=lambda one: one.candidates)
    made = large[0].result.get("interactions", 0)
    yield Bar(f"features, {made:,} generated events", _of(large, "features").work_seconds, 10, "s")
    yield Bar("train on UCI", _of(real, "train").work_seconds, 180, "s")
    yield Bar(f"/v1/rank, {widest.candidates} candidates, p50", widest.figures["p50"], 5, "ms")
    yield Bar(f"/v1/rank, {widest.candidates} candidates, p99", widest.figures["p99"], 15, "ms")


def _of(measured: Sequence[Measured], stage: str) -> Measured:
    return next(one for one in measured if one.stage == stage)


def _stages(measured: Sequence[Measured]) -> str:
    text = "| stage | seconds | with process start and imports | peak memory |\n|---|---:|---:|---:|\n"
    for one in measured:
        text += f"| {one.stage} | {one.work_seconds:.1f} | {one.seconds:.1f} | {one.peak_mib:,.0f} MiB |\n"
    return text


def _evaluation(metrics: Mapping[str, Any]) -> str:
    """NDCG@10 of each ranker with its interval; lists of 100 from the retriever, truth not forced in."""
    names = sorted(name.split("/")[0] for name in metrics if name.endswith("/ndcg_at_10") and "_minus_" not in name)
    text = "Lists of the retriever's 100 best, truth not forced in; baskets of the last weeks.\n\n"
    text += "| ranker | NDCG@10 | HR@10 |\n|---|---|---|\n"
    for name in names:
        ndcg = metrics[f"{name}/ndcg_at_10"]
        low, high = (metrics.get(f"{name}/ndcg_at_10_{end}") for end in ("low", "high"))
        interval = f" ({low:.4f}, {high:.4f})" if low is not None and high is not None else ""
        text += f"| {name} | {ndcg:.4f}{interval} | {metrics[f'{name}/hit_rate_at_10']:.3f} |\n"
    return text


def _walk(walk: Measured) -> str:
    text = (
        "Known customers' baskets from 2011-11-10 on, each scored (all items) before it is learned from; "
        f"NDCG@10 / HR@10 against the basket. {walk.work_seconds:.0f} s, {walk.peak_mib:,.0f} MiB. "
        "One seed for what is trained.\n\n"
        "| | all | new customers | returning, items new to them |\n|---|---|---|---|\n"
    )
    for name, columns in walk.result.items():
        cells = (columns.get(column) for column in ("all", "new customers", "returning, new items"))
        text += f"| {name} | {' | '.join(_cell(cell) for cell in cells)} |\n"
    head = "\nThe rows to beat, measured beforehand by another implementation of the protocol:\n\n"
    head += "| | all | new | returning, new |\n|---|---|---|---|\n"
    return text + head + PUBLISHED


def _cell(figures: Mapping[str, float] | None) -> str:
    if not figures:
        return "-"
    return f"{figures['ndcg_at_10']:.4f} (s.e. {figures['standard_error']:.4f}) / {figures['hr_at_10']:.3f}"


def _serving(serving: Sequence[Serving]) -> str:
    names = list(serving[0].figures)
    text = f"| candidates | {' | '.join(names)} |\n|---|{'---:|' * len(names)}\n"
    for one in serving:
        text += f"| {one.candidates} | {' | '.join(f'{one.figures[name]:.2f}' for name in names)} |\n"
    return text
