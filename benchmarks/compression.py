"""`python -m benchmarks.compression`: what each compressed form of a bundle costs and buys, into docs/quality.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.compression_stages import RANKERS
from benchmarks.measure import measure, say
from benchmarks.options import add_options
from benchmarks.page import machine, put, scratch
from benchmarks.quality import sources
from benchmarks.quality.__main__ import PAGE, QUICK_PAGE
from benchmarks.quality.page import HEAD
from benchmarks.quality.parts import COMPRESSION_PARTS, PAGE_PARTS, QUICK, QUICK_USERS
from liverank.config import parse_settings
from liverank.environment import silence_telemetry
from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.protocols.trained import told as training_told

ORIGINAL: Final = "float32"
FORMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "int8": {"network": "int8"},
    "onnx": {"network": "onnx"},
    "onnx-int8": {"network": "onnx-int8"},
    "vectors in float16": {"vectors": "float16"},
    "vectors in int8": {"vectors": "int8"},
    "vectors of half the rank": {"rank": 0.5},
    "half of the items pruned": {"prune_items": 0.5},
    "onnx-int8, vectors in int8": {"network": "onnx-int8", "vectors": "int8"},
}
"""Row -> settings; a rank below 1 is a share of the model's width."""
STUDENT: Final = {"training.interest.dimension": 64, "training.interest.layers": 1}
QUICK_STUDENT: Final = {"training.interest.dimension": 16, "training.interest.layers": 1}
SMALLEST: Final = "student, distilled, onnx-int8, vectors in int8"
SETS: Final[Mapping[str, tuple[str, str, str, Mapping[str, Any]]]] = {
    "compression-games": ("Amazon Video Games", "games", sources.GAMES, {"protocol": "leave-one-out"}),
    "compression-uci": ("UCI Online Retail", "uci", sources.UCI, {"protocol": "temporal", "keep_seen": True}),
}
"""Part of the page -> title, data set, its file, protocol."""
ROUNDS: Final = 20


@dataclass(frozen=True)
class Run:
    """One part under way."""

    work: Path
    dataset: Path
    settings: Mapping[str, Any]
    overrides: Mapping[str, Any]
    quick: bool

    def trained(self, name: str, more: Mapping[str, Any]) -> Path:
        """A bundle trained with more settings."""
        out = self.work / name
        checkpoints = str(self.work / "checkpoints")
        told = {"dataset": str(self.dataset), "settings": self.settings, "overrides": {**self.overrides, **more}}
        say(measure("compression_bundle", folder=str(out), checkpoints=checkpoints, **told))
        return out

    def form(self, name: str, bundle: Path, settings: Mapping[str, Any]) -> Path:
        """Another form of a bundle."""
        out = self.work / name
        say(measure("compression_form", bundle=str(bundle), folder=str(out), settings=dict(settings)))
        return out


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 2 where its data are not at hand."""
    silence_telemetry()
    options = _options(arguments)
    absent = [path for name in options.part if not (path := options.data / SETS[name][2]).exists()]
    if absent:
        print(f"Error: {absent[0]} is not at hand. Set LIVERANK_DATA to the folder of real data sets.", file=sys.stderr)
        return 2
    out = options.out or (QUICK_PAGE if options.quick else PAGE)
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.part:
        with scratch(options.work) as folder:
            put(out, name, _part(name, options, folder), PAGE_PARTS, HEAD)
        print(f"written: {out}, part {name}", flush=True)
    return 0


def _part(name: str, options: argparse.Namespace, work: Path) -> str:
    title, source, _, protocol = SETS[name]
    dataset = work / "data"
    say(measure("quality_data", name=source, data=str(options.data), folder=str(dataset)))
    settings = {**protocol, **({"max_users": QUICK_USERS} if options.quick else {})}
    # Without the refit: a teacher must not know the validation by which its student is judged.
    overrides = {"training.refit.enabled": False, **(QUICK if options.quick else {}), **parse_settings(options.set)}
    run = Run(work, dataset, settings, overrides, options.quick)
    bundles = _bundles(run)
    found = {row: _ranked(run, row, path) for row, path in bundles.items()}
    paths = {row: str(path) for row, path in bundles.items()}
    milliseconds = measure("compression_timed", bundles=paths, rounds=2 if options.quick else ROUNDS).result
    told = [f"--part {name}", *(["--quick"] if options.quick else [])]
    told += [f"-s {shlex.quote(setting)}" for setting in options.set]
    command = f"python -m benchmarks.compression {' '.join(told)}"
    return f"# Compression: {title}\n\n{machine(command)}{_lead(protocol, overrides)}{_table(found, milliseconds)}"


def _bundles(run: Run) -> dict[str, Path]:
    """Row -> bundle."""
    original = run.trained(ORIGINAL, {})
    width = int(run.overrides.get("training.interest.dimension", _default_width()))
    bundles = {ORIGINAL: original}
    for row, settings in FORMS.items():
        rank = {"rank": int(width * settings["rank"])} if "rank" in settings else {}
        bundles[row] = run.form(row, original, {**settings, **rank})
    student = QUICK_STUDENT if run.quick else STUDENT
    bundles["student"] = run.trained("student", student)
    taught = {**student, "training.interest.distil.teachers": [str(original)]}
    bundles["student, distilled"] = run.trained("student, distilled", taught)
    bundles[SMALLEST] = run.form(SMALLEST, bundles["student, distilled"], FORMS["onnx-int8, vectors in int8"])
    return bundles


def _default_width() -> int:
    from liverank.config.training import InterestConfig

    return InterestConfig().dimension


def _ranked(run: Run, row: str, bundle: Path) -> dict[str, Any]:
    """Sizes, and NDCG of every request by ranker."""
    out = run.work / f"{row}.npz"
    told = {"dataset": str(run.dataset), "settings": run.settings, "overrides": run.overrides}
    done = measure("compression_ranked", bundle=str(bundle), out=str(out), **told)
    say(done.named(row))
    with np.load(out) as arrays:
        return {**done.result, **{name: arrays[name] for name in ("users", *RANKERS)}}


def _lead(protocol: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    ranked = "what the user had before too" if protocol.get("keep_seen") else "but for those the user had before"
    return (
        f"Protocol {protocol['protocol']}, all items, {ranked}, are ranked. {training_told(overrides)} One training of "
        f"each model; a difference is paired with {ORIGINAL}, the bundle as it was trained, with an interval over "
        "users. Milliseconds are those of the interest ranker alone for one request (500 candidates, a history of 50) "
        "on one core, the rows taking turns. Sizes are of files; vectors are those of the items in memory. Students "
        "are one layer of half the width.\n\n"
    )


def _table(found: Mapping[str, Mapping[str, Any]], milliseconds: Mapping[str, Any]) -> str:
    base = found[ORIGINAL]
    bootstrap = Bootstrap(list(base["users"]))
    text = "| row | interest NDCG@10 | difference | blend NDCG@10 | difference | ms p50 | ms p99 "
    text += "| bundle MiB | interest MiB | vectors MiB |\n|---|---|---|---|---|---:|---:|---:|---:|---:|\n"
    for row, of in found.items():
        cells = [row]
        for name in RANKERS:
            gap = bootstrap.interval(of[name] - base[name])
            shown = "" if row == ORIGINAL else f"{gap.mean:+.4f} ({gap.low:+.4f}, {gap.high:+.4f})"
            cells += [f"{float(np.mean(of[name])):.4f}", shown]
        cells += [f"{value:.2f}" for value in milliseconds[row]]
        cells += [f"{of[f'{part}_bytes'] / 2**20:.2f}" for part in ("bundle", "interest", "vectors")]
        text += f"| {' | '.join(cells)} |\n"
    return f"{text}\n{len(base['users']):,} requests, {base['items']:,} items.\n"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=COMPRESSION_PARTS, default=list(COMPRESSION_PARTS))
    parser.add_argument("--quick", action="store_true", help="a sample of users, small models")
    add_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
