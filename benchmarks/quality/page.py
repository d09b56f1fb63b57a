"""docs/quality.md, part by part: our rows with intervals and spread, beside those of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.measure import Measured
from benchmarks.page import machine
from benchmarks.quality.parts import PARTS, Run
from benchmarks.quality.published import HEADS, ROWS
from liverank.evaluation.protocols.trained import told

HEAD = (
    "# Ranking quality\n\nWritten by `make bench-quality`, part by part; every figure of a part was measured in the "
    "run that its first lines name, but for the rows of others. [R]: read in the named paper or repository; [M]: "
    "measured beforehand on the same file by another implementation. The plain rows (`plain count`, `plain TF-IDF`, "
    "`plain count + TF-IDF`) are the recipes of the [M] rows, written anew in "
    "`liverank/evaluation/protocols/plain_counts.py`.\n\nIntervals are paired bootstrap intervals over users of the "
    "mean over seeds; the spread is the standard deviation of the seeds' means. A row without a spread does not change "
    "with the seed, or was trained once.\n\nLeave-one-out counts have no decay "
    "by age: users are asked at the end of their own events, so that what is old for one is not for another. Each part "
    "names what it was trained with beside the default configuration. Parts were measured one at a time, on the code "
    "of their date: figures of two parts differ by that too.\n\nRows are of rankers as they are served: once "
    "the validation has chosen epochs and weights they learn its events too (the refit; docs/adr/0018). Those `before "
    "the refit` have not seen it, as most published rows have not (HSTU's code trains on it), and the plain rows; "
    "the retriever of lists is as served.\n"
)
NAMES = {"ndcg": "NDCG", "hit_rate": "HR", "recall": "Recall", "mrr": "MRR"}
Result = Mapping[str, Any]


def part(name: str, found: Measured, run: Run, command: str) -> str:
    """The text of a part."""
    result = found.result
    text = f"# {PARTS[name].title}\n\n" + machine(command) + _data(result)
    for finding in result["findings"]:
        text += _finding(finding, int(result["k"]), float(result["confidence"]))
    text += _without(result) + _others(name) + _chosen(result) + _fine_tuned(result) + _cost(found)
    return text


def _data(result: Result) -> str:
    data = ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
                     for name, value in result["data"].items())  # fmt: skip
    settings = {name: value for name, value in result["settings"].items() if value not in (0, "", False, [], None)}
    asked = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{data}.\n\nSettings: {asked}.\n\n{told(result['training'])}\n"


def _finding(finding: Result, k: int, confidence: float) -> str:
    group = "" if finding["group"] == "all" else f", {finding['group']}"
    metrics = list(next(iter(finding["rows"].values())))
    # With one wanted item the recall is the hit rate.
    if _same(finding, "recall", "hit_rate"):
        metrics.remove("recall")
    names = [_metric(name, k, finding["table"]) for name in metrics]
    text = f"\n## {_titled(finding['table'])}{group}\n\n{finding['lead']} {finding['requests']:,} requests.\n\n"
    text += f"| row | {names[0]} ({confidence:.0%}) | spread | {' | '.join(names[1:])} |\n"
    text += f"|---|---|---|{'---|' * len(names[1:])}\n"
    for row, of in finding["rows"].items():
        rest = " | ".join(_plain(of[metric]["mean"]) for metric in metrics[1:])
        text += f"| {row} | {_interval(of[metrics[0]])} | {_spread(of[metrics[0]])} | {rest} |\n"
    return text + "".join(_differences(finding, names[0]))


def _titled(name: str) -> str:
    return name[:1].upper() + name[1:]


def _same(finding: Result, one: str, other: str) -> bool:
    rows = finding["rows"].values()
    return all(one in of and other in of and of[one]["mean"] == of[other]["mean"] for of in rows)


def _metric(name: str, k: int, table: str) -> str:
    return NAMES[name] if name == "mrr" and table != "logged lists" else f"{NAMES[name]}@{k}"


def _differences(finding: Result, metric: str) -> Iterator[str]:
    if not finding["differences"]:
        return
    yield f"\n| paired difference | {metric} | spread |\n|---|---|---|\n"
    for name, of in finding["differences"].items():
        yield f"| {name} | {_interval(of['ndcg'], '+')} | {_spread(of['ndcg'])} |\n"


def _interval(figure: Result, sign: str = "") -> str:
    if figure["mean"] is None:
        return "-"
    return f"{figure['mean']:{sign}.4f} ({figure['low']:{sign}.4f}, {figure['high']:{sign}.4f})"


def _spread(figure: Result) -> str:
    seeds = [value for value in figure["seeds"] if value is not None]
    # Not by the spread itself, which rounding makes a little more than 0 where all seeds are the same.
    return f"{float(np.std(seeds, ddof=1)):.4f}" if len(set(seeds)) > 1 else ""


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _without(result: Result) -> str:
    """The first run's means beside the second's, group by group, and what the first has more or less."""
    if "without" not in result:
        return ""
    given = ", ".join(f"`{name}` {value}" for name, value in result["without"]["overrides"].items())
    text = f"\n## Beside it: {given}\n\n| requests | row | NDCG@{result['k']} | with {given} | change |\n"
    text += "|---|---|---|---|---|\n"
    for one, other in zip(result["findings"], result["without"]["findings"], strict=True):
        for row in [name for name in ("blend", "interest") if name in one["rows"]]:
            first, second = (of["rows"][row]["ndcg"]["mean"] for of in (one, other))
            change = f"{first / second - 1:+.1%}" if second else "-"
            text += f"| {one['group']} | {row} | {_plain(first)} | {_plain(second)} | {change} |\n"
    return text


def _others(name: str) -> str:
    key = PARTS[name].published or name
    if key not in ROWS:
        return ""
    text = f"\n## Rows of others\n\n| row | {HEADS[key]} | |\n|---|---|---|\n"
    return text + "".join(f"| {row} | {figures} | {mark} |\n" for row, figures, mark in ROWS[key])


def _chosen(result: Result) -> str:
    weight = result["chosen"].get("plain recipe's weight")
    if weight is None:
        return ""
    return f"\nThe validation chose {weight:g} as the weight of the plain recipe's text.\n"


def _fine_tuned(result: Result) -> str:
    """What each seed's validation said of the language model."""
    told = [seed["lm"] for seed in result["chosen"].get("seeds", ()) if seed.get("lm", {}).get("training")]
    if not told:
        return ""
    head = "seed | steps | seconds | tokens/s | validation NDCG@10 of the blend | gain of the cascade | lists | weights"
    text = f"\n## The language model's fine-tuning\n\n| {head} |\n|---|---|---|---|---|---|---|---|\n"
    for number, of in enumerate(told, 1):
        training, gain = of["training"], f"{of['gain']:+.4f} ({of['low']:+.4f}, {of['high']:+.4f})"
        weights = ", ".join(f"{name} {weight:g}" for name, weight in of["weights"].items())
        text += (
            f"| {number} | {training['steps']:,} | {training['seconds']:,.0f} | {training['tokens_per_second']:,.0f} "
            f"| {of['blend']:.4f} | {gain} | {of['judged']:,} | {weights} |\n"
        )
    return text + "\nBy `deploy: auto` it would serve where the gain's interval lies above 0.\n"


def _cost(found: Measured) -> str:
    seconds = ", ".join(f"{part} {value:.0f}" for part, value in found.result["seconds"].items())
    both = f" of the first run, {found.seconds:.0f} of both" if "without" in found.result else ""
    return (
        f"\nSeconds, all seeds together: {seconds}{both}; {found.cpu_seconds:,.0f} s of processor time; peak memory "
        f"{found.peak_mib:,.0f} MiB.\n"
    )
