"""`python -m benchmarks.query_weight`: what a query's share is worth to a ranking, into docs/quality.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measure import measure, say
from benchmarks.options import add_options
from benchmarks.page import machine, put, scratch
from benchmarks.quality import sources
from benchmarks.quality.__main__ import PAGE, QUICK_PAGE
from benchmarks.quality.page import HEAD
from benchmarks.quality.parts import PAGE_PARTS, QUERY_WEIGHT_PART, QUICK, QUICK_USERS
from benchmarks.query_weight_stages import DEFAULT, LENGTH, LISTS, QUERIES, WEIGHTS
from liverank.config import EvaluationConfig, load_config, parse_settings
from liverank.environment import silence_telemetry
from liverank.evaluation.bootstrap import Bootstrap
from liverank.evaluation.lists import Floats
from liverank.evaluation.protocols.trained import told as training_told

PROTOCOL: Final = {"protocol": "leave-one-out"}
Found = Mapping[str, Any]
"""As `query_weight_stages.query_weights` writes them."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the measurement; 2 where its data are not at hand."""
    silence_telemetry()
    options = _options(arguments)
    if not (source := options.data / sources.GAMES).exists():
        print(f"Error: {source} is not at hand. Set LIVERANK_DATA to the folder of real data sets.", file=sys.stderr)
        return 2
    out = options.out or (QUICK_PAGE if options.quick else PAGE)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch(options.work) as folder:
        put(out, QUERY_WEIGHT_PART, _measured(options, folder), PAGE_PARTS, HEAD)
    print(f"written: {out}, part {QUERY_WEIGHT_PART}", flush=True)
    return 0


def _measured(options: argparse.Namespace, work: Path) -> str:
    dataset, bundle, out = (str(work / name) for name in ("data", "bundle", "ndcg.npz"))
    settings = {**PROTOCOL, **({"max_users": QUICK_USERS} if options.quick else {})}
    overrides = {**(QUICK if options.quick else {}), **parse_settings(options.set)}
    told = {"dataset": dataset, "settings": settings, "overrides": overrides}
    say(measure("quality_data", name="games", data=str(options.data), folder=dataset))
    say(measure("compression_bundle", folder=bundle, checkpoints=str(work / "checkpoints"), **told))
    done = measure("query_weights", bundle=bundle, out=out, requests=options.requests, **told)
    say(done)
    given = [*(["--quick"] if options.quick else []), *(f"-s {shlex.quote(setting)}" for setting in options.set)]
    command = " ".join(["python -m benchmarks.query_weight", f"--requests {options.requests}", *given])
    with np.load(out) as found:
        return part(machine(command), load_config(overrides=overrides).evaluation, overrides, done.result, found)


def part(
    where: str, evaluation: EvaluationConfig, overrides: Mapping[str, Any], asked: Mapping[str, int], found: Found
) -> str:
    """The part's text.

    Args:
        where: `page.machine`.
        evaluation: how intervals are drawn.
        overrides: what the configuration was trained with but for its defaults.
        asked: what the stage answers.
        found: what it writes.
    """
    head = "".join(f" {weight:g} |" for weight in WEIGHTS)
    line = "---|" * len(WEIGHTS)
    text = f"# The weight of a query: Amazon Video Games\n\n{where}{_lead(training_told(overrides), asked)}"
    for lists in LISTS:
        kinds = {kind: f"{lists}/{kind}" for kind in QUERIES if f"{lists}/{kind}" in found}
        text += f"\n## Lists found {lists}\n\n| NDCG@10 at the weight | requests |{head}\n|---|---:|{line}\n"
        text += "".join(f"| {kind} | {len(found[name]):,} | {_means(found[name])} |\n" for kind, name in kinds.items())
        text += f"\n| less that at {DEFAULT:g} |{head}\n|---|{line}\n"
        for kind, name in kinds.items():
            users = list(found[f"{name}/users"])
            drawn = Bootstrap(users, evaluation.bootstrap_samples, evaluation.confidence, evaluation.seed)
            text += f"| {kind} | {_differences(found[name], drawn)} |\n"
    return text


def _lead(training: str, asked: Mapping[str, int]) -> str:
    return (
        f"Users' last events left out, {asked['asked']:,} of them asked for; no customer of this data ever typed a "
        "query. One is simulated: words of the title of what came, of three letters at least and drawn at random "
        "(`one word`, `two words`); the word of that title that the most titles hold, which is often a platform or a "
        "kind of game; or one word of the title whose embedding lies nearest to that of what came, for a user who says "
        f"it otherwise. Lists of {LENGTH}, found by the count ranker or as the nearest embeddings of all titles; only "
        "those that hold what came are ranked, so that the lists of two queries are not the same requests. Scores are "
        f"joined as `/v1/rerank` joins them; weight 0 is the blend alone, 1 the query alone. {training} One training. "
        "Best in bold; intervals are paired, over users, and wide enough for all weights of a line together.\n\n"
        "What this cannot say: a query made of the title of what came is always right, is spelled as the title is and "
        "was never typed to find something else, so that the first three lines favour the query. Only one item "
        "counts as right, though others fit the query as well, which favours the user's history. Texts are titles "
        "alone. The better a model ranks by itself, the less of the query is best. So read where the curve is flat, "
        "not the fourth digit.\n"
    )


def _means(values: Floats) -> str:
    means = values.mean(axis=0)
    best = int(np.argmax(means))
    return " | ".join(f"**{mean:.4f}**" if at == best else f"{mean:.4f}" for at, mean in enumerate(means.tolist()))


def _differences(values: Floats, bootstrap: Bootstrap) -> str:
    """Each weight's difference from the default's, with intervals that hold for all of them together (Bonferroni)."""
    gaps = values - values[:, [WEIGHTS.index(DEFAULT)]]
    point, drawn = bootstrap.resampled(gaps, np.ones_like(gaps))
    cells = []
    for at, weight in enumerate(WEIGHTS):
        gap = bootstrap.around(float(point[at]), drawn[:, at], len(gaps), len(WEIGHTS) - 1)
        cells.append("" if weight == DEFAULT else f"{gap.mean:+.4f} ({gap.low:+.4f}, {gap.high:+.4f})")
    return " | ".join(cells)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query_weight", description=__doc__)
    parser.add_argument("--requests", type=int, default=5000, help="test requests, at most")
    parser.add_argument("--quick", action="store_true", help="a sample of users, small models")
    add_options(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
