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


def run(work: Path, sizes: Sequence[int], largest: int, spark: int) -> str:
    """Measures and returns the part's text.

    Args:
        work: an empty folder on a disk with room.
        sizes: interactions of the worlds that go through every stage.
        largest: interactions of one more world of which only the features are built; 0: none.
        spark: interactions for the comparison of the engines; 0: none.
    """
    found = [_every_stage(work / str(events), events) for events in sizes]
    compared = _engines(work / "engines", spark) if spark else []
    huge = _features_alone(work / "largest", largest) if largest else None
    return part(machine("make bench ARGS='--part data'"), found, compared, huge)


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


def _engines(folder: Path, events: int) -> list[Measured]:
    folder.mkdir(parents=True)
    size = Size(events)
    made = str(folder / "made")
    _take(size, "generate", folder=made, **world(events))
    for engine in ("duckdb", "spark"):
        _take(size, "features", f"features on {engine}", dataset=made, folder=str(folder / engine), engine=engine)
    shutil.rmtree(folder)
    return size.measured


def _features_alone(folder: Path, events: int) -> Size:
    folder.mkdir(parents=True)
    size = Size(events)
    _take(size, "generate", folder=str(folder / "made"), **world(events))
    _take(size, "features", dataset=str(folder / "made"), folder=str(folder / "features"))
    shutil.rmtree(folder)
    return size


def world(events: int) -> dict[str, Any]:
    """Users, items and lists that give about so many interactions: some 23.6 a user."""
    return {"users": max(100, events // 23), "items": 10_000, "impressions_per_user": 6.5}


def _take(size: Size, stage: str, label: str = "", **arguments: Any) -> None:
    done = measure(stage, **arguments).named(label or stage)
    say(done)
    size.measured.append(done)


def part(where: str, sizes: Sequence[Size], compared: Sequence[Measured], huge: Size | None) -> str:
    """The part's text."""
    text = "# Data as it grows\n\n" + where + "## Against the bars\n\n" + bars(_bars(sizes))
    for size in sizes:
        text += f"\n## {size.rows['interactions']:,} generated interactions\n\n"
        text += f"{size.rows['impressions']:,} impressions, {size.rows['items']:,} items.\n\n"
        text += stages(size.measured)
    if compared:
        text += f"\n## Two engines, {compared[0].result['interactions']:,} interactions\n\n"
        text += (
            "The same definitions, rows equal. Spark is local[2] in the same machine; its seconds hold the start of "
            "the JVM, and its memory is the Python process's alone.\n\n"
        )
        text += stages(compared[1:])
    if huge:
        text += f"\n## {huge.rows['interactions']:,} generated interactions, features alone\n\n"
        text += stages(huge.measured)
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
