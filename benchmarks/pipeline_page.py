"""The part of docs/benchmarks.md on the pipeline: UCI Online Retail from raw lines to a served model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Measured
from benchmarks.page import Bar, bars, stages
from liverank.ranking.prequential import AS_OF_CUT, BLEND, COUNT, WITHOUT_INTEREST

PUBLISHED = """| popularity, half-life 14 days | .1171 / .533 | .0974 / .510 | .0626 / .314 |
| what the customer bought most | .2696 / .730 | .0974 / .510 | - |
| co-occurrence | - | - | .0638 / .294 |
| co-occurrence + 0.5 TF-IDF + popularity | - | - | .0765 / .358 |
"""
"""The rows to beat."""
_ROWS = (
    f"`{COUNT}`, `{WITHOUT_INTEREST}` and `{BLEND}` are the served rankers, trained before the cut, with counts that "
    f"are renewed each midnight. Serving renews nothing between trainings: `{AS_OF_CUT}` is what a model gets there "
    "that was trained at the cut."
)
"""Which rows are which."""


@dataclass(frozen=True)
class Serving:
    """One latency measurement: candidates in a request, and figures in ms."""

    candidates: int
    figures: Mapping[str, float]


def part(
    where: str, real: Sequence[Measured], weighed: Sequence[Measured], walk: Measured, serving: Sequence[Serving]
) -> str:
    """The part's text; `where` is `page.machine`."""
    return "".join(
        [
            "# The pipeline on UCI Online Retail\n\n",
            where,
            "## Against the bars\n\n",
            bars(list(_bars(real, serving))),
            "\n## Stages (541,909 raw lines)\n\n",
            stages(real),
            "\n## Offline evaluation\n\n",
            _evaluation(_of(real, "evaluate").result),
            "\n## With features of candidates (`training.feature_ranker`)\n\n",
            _candidates(weighed),
            "\n## Prequential\n\n",
            _walk(walk),
            "\n## `POST /v1/rank` over HTTP\n\nOpen loop at 50 requests a second, users with 50 events, the champion "
            "(blend) of the UCI run above; client and server on the same two cores.\n\n",
            _serving(serving),
        ]
    )


def _bars(real: Sequence[Measured], serving: Sequence[Serving]) -> Iterator[Bar]:
    widest = max(serving, key=lambda one: one.candidates)
    yield Bar("train on UCI", _of(real, "train").work_seconds, 180, "s")
    yield Bar(f"/v1/rank, {widest.candidates} candidates, p50", widest.figures["p50"], 5, "ms")
    yield Bar(f"/v1/rank, {widest.candidates} candidates, p99", widest.figures["p99"], 15, "ms")


def _of(measured: Sequence[Measured], stage: str) -> Measured:
    return next(one for one in measured if one.stage == stage)


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


def _candidates(weighed: Sequence[Measured]) -> str:
    """What the features of candidates add to the blend, paired on the same lists."""
    found = _of(weighed, "evaluate").result
    name = "blend_minus_champion/ndcg_at_10"
    gain, low, high = (found[name + end] for end in ("", "_low", "_high"))
    text = f"The blend's NDCG@10 changes by {gain:+.4f} ({low:+.4f}, {high:+.4f}), one seed.\n\n"
    return text + stages(weighed)


def _walk(walk: Measured) -> str:
    text = (
        "Known customers' baskets from 2011-11-10 on, each scored (all items) before it is learned from; "
        f"NDCG@10 / HR@10 against the basket. {walk.work_seconds:.0f} s, {walk.result['walk_seconds']:.0f} s of them "
        f"for scoring and learning from the baskets; {walk.peak_mib:,.0f} MiB. One seed for what is trained.\n\n"
        f"{_ROWS}\n\n"
        "| | all | new customers | returning, items new to them |\n|---|---|---|---|\n"
    )
    for name, columns in walk.result["rows"].items():
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
