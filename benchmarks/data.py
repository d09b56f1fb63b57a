"""The first three steps of the pipeline as the data grows: generated events, one process a stage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, measure, say
from benchmarks.page import Bar, bars, machine, stages

GIB = 1024.0


@dataclass
class Size:
    """What was measured at one size."""

    events: int
    """Wanted."""
    measured: list[Measured] = field(default_factory=list)

    def of(self, stage: str) -> Measured | None:
        """A stage's measurement, where it was run."""
        return next((one for one in self.measured if one.stage == stage), None)

    @property
    def rows(self) -> dict[str, Any]:
        """Rows that were really generated, by table."""
        return self.measured[0].result


def run(work: Path, sizes: Sequence[int]) -> str:
    """Measures every stage on worlds of these many interactions; returns the part's text.

    Args:
        work: an empty folder on a disk with room.
        sizes: interactions of each world.
    """
    return part(
        machine("make bench ARGS='--part data'"), [_every_stage(work / str(events), events) for events in sizes]
    )


def _every_stage(folder: Path, events: int) -> Size:
    folder.mkdir(parents=True)
    at = {name: str(folder / name) for name in ("made", "dataset", "checked", "features", "again", "day", "cache")}
    accepted = str(folder / "checked" / "accepted")
    size = Size(events)
    _take(size, "generate", folder=at["made"], **world(events))
    _take(size, "ingest", source=at["made"], folder=at["dataset"])
    shutil.rmtree(at["made"])
    _take(size, "validate", dataset=at["dataset"], folder=at["checked"])
    shutil.rmtree(at["dataset"])
    _take(size, "profile", dataset=accepted)
    _take(size, "features", dataset=accepted, folder=at["features"])
    _take(size, "cooccurrence", features=at["features"])
    shutil.rmtree(at["features"])
    measure("without_last_day", dataset=accepted, folder=at["day"])
    measure("features", dataset=at["day"], folder=at["again"], cache=at["cache"])
    shutil.rmtree(at["again"])
    _take(size, "features", "features, one more day", dataset=accepted, folder=at["again"], cache=at["cache"])
    shutil.rmtree(folder)
    return size


def engines(work: Path, events: int) -> str:
    """Builds the same features on both engines; returns the part's text."""
    work.mkdir(parents=True)
    size, made = Size(events), str(work / "made")
    _take(size, "generate", folder=made, **world(events))
    for engine in ("duckdb", "spark"):
        _take(size, "features", f"features on {engine}", dataset=made, folder=str(work / engine), engine=engine)
    shutil.rmtree(work)
    text = f"# Two engines, {size.rows['interactions']:,} interactions\n\n"
    text += machine("make bench ARGS='--part engines'")
    text += (
        "The same definitions, rows equal. Spark is local[2] in the same machine; its seconds hold the start of the "
        "JVM, and its CPU seconds and memory are the Python process's alone.\n\n"
    )
    return text + stages(size.measured[1:])


def largest(work: Path, events: int) -> str:
    """Builds the features of one larger world; returns the part's text."""
    work.mkdir(parents=True)
    size = Size(events)
    _take(size, "generate", folder=str(work / "made"), **world(events))
    _take(size, "features", dataset=str(work / "made"), folder=str(work / "features"))
    shutil.rmtree(work)
    text = f"# {size.rows['interactions']:,} generated interactions, features alone\n\n"
    return text + machine("make bench ARGS='--part largest'") + stages(size.measured)


def world(events: int) -> dict[str, Any]:
    """Users, items and lists that give about so many interactions: some 23.6 a user."""
    return {"users": max(100, events // 23), "items": 10_000, "impressions_per_user": 6.5}


def _take(size: Size, stage: str, label: str = "", **arguments: Any) -> None:
    done = measure(stage, **arguments).named(label or stage)
    say(done)
    size.measured.append(done)


def part(where: str, sizes: Sequence[Size]) -> str:
    """The text on the worlds that went through every stage."""
    text = "# Data as it grows\n\n" + where + "## Against the bars\n\n" + bars(_bars(sizes))
    for size in sizes:
        text += f"\n## {size.rows['interactions']:,} generated interactions\n\n"
        text += f"{size.rows['impressions']:,} impressions, {size.rows['items']:,} items.\n\n"
        text += stages(size.measured)
    return text


def _bars(sizes: Sequence[Size]) -> list[Bar]:
    most = {1: {"features": 10.0}, 10: {"features": 120.0, "validate": 180.0, "cooccurrence": 60.0}}
    rows = []
    for size in sizes:
        for stage, seconds in most.get(round(size.events / 1e6), {}).items():
            found = size.of(stage)
            if found is None:
                continue
            name = f"{stage}, {size.rows['interactions']:,} interactions"
            rows.append(Bar(name, found.work_seconds, seconds, "s"))
            if size.events >= 10_000_000:
                rows.append(Bar(f"{name}, peak memory", found.peak_mib / GIB, 4, "GiB"))
    return rows
