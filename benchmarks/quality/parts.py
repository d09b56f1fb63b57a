"""The parts of the quality page: which set, by which protocol, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Measured, measure, say
from benchmarks.quality import sources

QUICK: Final = {
    "training.interest.epochs": 2,
    "training.interest.dimension": 32,
    "training.interest.layers": 1,
    "training.interest.history_length": 30,
    "evaluation.bootstrap_samples": 200,
}
QUICK_PARTS: Final = ("games", "ml100k")
QUICK_USERS: Final = 2000


@dataclass(frozen=True)
class Part:
    """One measurement."""

    title: str
    dataset: str
    """Name of the set, as `sources.prepare` takes it."""
    needs: tuple[str, ...]
    """Files of the public data that must be there."""
    protocol: Mapping[str, Any]
    """Settings of `liverank evaluate`."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    without: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of a second run that is set beside the first; empty: there is none."""
    published: str = ""
    """Which rows of `published` stand beside it; empty: those of its own name."""
    sampled: bool = False
    """Whether the truth is ranked among random candidates rather than by `protocol`."""
    trained: bool = True
    """Whether anything is trained, with each seed."""


READ: Final = {"training.lm.enabled": True, "training.lm.deploy": "on"}
"""The language model reads, whether it helps or not: its rows are to be seen."""
LISTS: Final = {"protocol": "leave-one-out", "lists": (20, 100)}
LEFT_OUT: Final = {"protocol": "leave-one-out"}
PARTS: Final[dict[str, Part]] = {
    "games": Part("Amazon Video Games: two-stage re-ranking", "games", (sources.GAMES,), LISTS),
    "games-renumbered": Part(
        "Amazon Video Games with randomly re-numbered items", "games", (sources.GAMES,), {**LEFT_OUT, "renumber": True},
        published="games",
    ),
    "ml100k": Part(
        "\"ML-100k\" (5-core of ml-latest-small): two-stage re-ranking", "ml100k", (sources.ML100K, sources.MOVIES),
        LISTS,
    ),
    "ml100k-shuffled": Part(
        "\"ML-100k\", ratings of one second in random order", "ml100k", (sources.ML100K, sources.MOVIES),
        {**LEFT_OUT, "shuffle_ties": True},
    ),
    "ml1m": Part("MovieLens-1M (SASRec file): all items", "ml1m", (sources.ML1M,), LEFT_OUT),
    "lists": Part(
        "Amazon Games 2018: SASRec's lists of 100, re-ranked", "lists",
        (f"{sources.LLMRANK}.{sources.RETRIEVER}.gz", f"{sources.LLMRANK}.test.inter.gz"), {"protocol": "lists"},
    ),
    "zero-shot": Part(
        "MovieLens-1M: 20 candidates, no training", "ml1m", (sources.ML1M,), LEFT_OUT, sampled=True, trained=False
    ),
    "uci": Part(
        "UCI Online Retail: prequential", "uci", (sources.UCI,), {"protocol": "prequential", "cut": "2011-11-10"}
    ),
    "cold": Part(
        "Amazon Video Games: cold items", "games", (sources.GAMES,), {**LEFT_OUT, "cold": 0.1},
        without={"training.interest.id_dropout": 0.0, "training.blend.cold_price": 0.0},
    ),
    "games-lm": Part(
        "Amazon Video Games: with the language-model re-ranker", "games", (sources.GAMES,), LISTS, READ,
        published="games",
    ),
    "lists-lm": Part(
        "Amazon Games 2018: SASRec's lists of 100, with the language-model re-ranker", "lists",
        (f"{sources.LLMRANK}.{sources.RETRIEVER}.gz", f"{sources.LLMRANK}.test.inter.gz"), {"protocol": "lists"}, READ,
        published="lists",
    ),
    "uci-lm": Part(
        "UCI Online Retail: baskets of the last tenth of the time, with the language-model re-ranker", "uci",
        (sources.UCI,), {"protocol": "temporal", "keep_seen": True}, READ, published="none",
    ),
    "ml1m-sampled": Part(
        "MovieLens-1M: 20 candidates, trained", "ml1m", (sources.ML1M,), LEFT_OUT, READ, published="zero-shot",
        sampled=True,
    ),
}  # fmt: skip
SAMPLED: Final = 20
COMPRESSION_PARTS: Final = ("compression-games", "compression-uci")
QUERY_WEIGHT_PART: Final = "query-weight"
PAGE_PARTS: Final = (*PARTS, *COMPRESSION_PARTS, QUERY_WEIGHT_PART)
"""All parts of the page, in order: those of the other commands (`benchmarks.compression`, `.query_weight`) are last."""


@dataclass(frozen=True)
class Run:
    """How the parts are measured."""

    data: Path
    work: Path
    seeds: int
    quick: bool
    overrides: Mapping[str, Any]
    """Settings of the command line, which go before all others."""


def beside(found: Measured, other: Measured, overrides: Mapping[str, Any]) -> Measured:
    """The first run, with what the second found under `without`, and the cost of both."""
    result = {**found.result, "without": {"findings": other.result["findings"], "overrides": dict(overrides)}}
    return replace(
        found,
        seconds=found.seconds + other.seconds,
        work_seconds=found.work_seconds + other.work_seconds,
        cpu_seconds=found.cpu_seconds + other.cpu_seconds,
        peak_mib=max(found.peak_mib, other.peak_mib),
        result=result,
    )


def missing(part: Part, data: Path) -> list[Path]:
    """Files of the part that are not at hand."""
    return [data / name for name in part.needs if not (data / name).exists()]


def measured(name: str, run: Run) -> Measured:
    """Runs a part in a process of its own, on its prepared data."""
    part = PARTS[name]
    dataset = run.work / "data" / part.dataset
    if not (dataset / "source.json").exists():
        say(measure("quality_data", name=part.dataset, data=str(run.data), folder=str(dataset)))
    settings = {**part.protocol, "seeds": run.seeds}
    overrides = {**part.overrides, **(QUICK if run.quick else {}), **run.overrides}
    if run.quick:
        settings["max_users"] = QUICK_USERS
    if part.dataset == "lists":
        settings["share"] = sources.share(dataset)
    out = str(run.work / name)
    if part.sampled:
        seeds = run.seeds if part.trained else 0
        found = measure(
            "sampled_candidates",
            dataset=str(dataset),
            folder=out,
            candidates=SAMPLED,
            overrides=overrides,
            seeds=seeds,
        )
    else:
        found = measure("protocol", dataset=str(dataset), folder=out, settings=settings, overrides=overrides)
        if part.without:
            other = measure(
                "protocol",
                dataset=str(dataset),
                folder=f"{out}-without",
                settings=settings,
                overrides={**overrides, **part.without},
            )
            found = beside(found, other, part.without)
    print(f"{name}: {found.seconds:.1f} s, {found.cpu_seconds:.1f} CPU s, {found.peak_mib:.0f} MiB", flush=True)
    return found.named(name)
