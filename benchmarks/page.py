"""docs/benchmarks.md: parts that are measured apart, each with its machine, versions, command and date."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.measure import Measured
from liverank import __version__

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
PACKAGES = (
    "torch", "transformers", "duckdb", "sqlframe", "pyspark", "great-expectations", "mlflow", "kserve", "numpy", "scipy"
)  # fmt: skip
HEAD = (
    "# Benchmarks\n\nWritten by `make bench`, part by part; every figure of a part was measured in the run that its "
    "first lines name, one after the other, but for the tables of rows to beat.\n"
)
PARTS = (
    "pipeline",
    "serving",
    "read-your-writes",
    "reranker",
    "shaping",
    "new-items",
    "explain",
    "data",
    "engines",
    "largest",
    "soak",
)


@contextmanager
def scratch(place: Path | None) -> Iterator[Path]:
    """A folder that is gone afterwards, in `place` (made where missing), or where temporary files go."""
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


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


def bars(rows: Sequence[Bar]) -> str:
    """The table of figures against what they should be."""
    return "| | measured | bar | |\n|---|---|---|---|\n" + "".join(row.row() for row in rows)


def stages(measured: Sequence[Measured]) -> str:
    """A table with a line a stage."""
    text = (
        "| stage | seconds | with process start and imports | CPU seconds | peak memory |\n|---|---:|---:|---:|---:|\n"
    )
    for one in measured:
        text += f"| {one.stage} | {one.work_seconds:.1f} | {one.seconds:.1f} | {one.cpu_seconds:.1f} "
        text += f"| {one.peak_mib:,.0f} MiB |\n"
    return text


def machine(command: str) -> str:
    """Processor, cores, memory, system, versions, command, date."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"* Machine: {cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.system()}; no GPU\n"
        f"* Python {platform.python_version()}, liverank {__version__}, {versions}\n"
        f"* Date: {datetime.now(UTC):%Y-%m-%d}\n* Command: `{command}`\n\n"
    )


def put(page: Path, part: str, text: str, parts: Sequence[str] = PARTS, head: str = HEAD) -> None:
    """Writes a part of the page in place of its earlier version; the other parts stay as they are."""
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    found = {name: _found(old, name) for name in parts} | {part: text}
    kept = "".join(f"\n{_mark(name)}\n{found[name].strip()}\n{_mark(name, 'end')}\n" for name in parts if found[name])
    page.write_text(head + kept, encoding="utf-8")


def _found(page: str, part: str) -> str:
    match = re.search(f"{re.escape(_mark(part))}\n(.*?)\n{re.escape(_mark(part, 'end'))}", page, re.DOTALL)
    return match[1] if match else ""


def _mark(part: str, kind: str = "part") -> str:
    return f"<!-- {kind}: {part} -->"
