"""A split put to every ranker: the plain recipes once, the bundle's rankers with each seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.evaluation.protocols.asks import Split
from liverank.evaluation.protocols.log import Mask
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.recipes import plain_scores
from liverank.evaluation.protocols.reread import reread_all
from liverank.evaluation.protocols.results import Table, together
from liverank.evaluation.protocols.scoring import (
    PLAIN_BOTH,
    PLAIN_COUNT,
    PLAIN_TEXT,
    BundleScores,
    CountScores,
    PlainScores,
    Ranked,
    Scorer,
    rank,
)
from liverank.evaluation.protocols.settings import ProtocolSettings
from liverank.evaluation.protocols.two_stage import BEFORE_REFIT, Retriever, two_stage
from liverank.evaluation.protocols.watch import Watch
from liverank.ranking.data import Rows, TrainingData
from liverank.ranking.fit import Clock, Fitted, fit_rankers

ALL_ITEMS = "all items"


@dataclass
class Ran:
    """What came out of a protocol before its intervals are drawn."""

    tables: list[Table]
    data: dict[str, Any]
    chosen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Means:
    """What a run works with."""

    settings: ProtocolSettings
    training: TrainingConfig
    checkpoints: Path
    """Keeps text embeddings, and training states until the run is done."""
    watch: Watch


def run_split(split: Split, groups: Mapping[str, Mask], means: Means) -> Ran:
    """Ranks the test of a split by the plain recipes and by all rankers of each seed's bundle."""
    settings, watch = means.settings, means.watch
    most = max(settings.lists, default=0)
    with watch("plain recipes"):
        recipe = plain_scores(split, settings.k)
        plain = rank(split, split.test, recipe, [PLAIN_BOTH] if most else [], most)
    chosen: dict[str, Any] = {"plain recipe's weight": recipe.weight, "seeds": []}
    seeds = []
    for number in range(settings.seeds):
        with progress.stage(f"seed {number + 1} of {settings.seeds}"):
            tables, weights = _one_seed(split, groups, number, recipe, plain, means)
        seeds.append(tables)
        chosen["seeds"].append(weights)
    return Ran([together(tables) for tables in zip(*seeds, strict=True)], split_facts(split), chosen)


def _one_seed(
    split: Split, groups: Mapping[str, Mask], number: int, recipe: PlainScores, plain: Ranked, means: Means
) -> tuple[list[Table], dict[str, Any]]:
    settings, most = means.settings, max(means.settings.lists, default=0)
    data = split.over_all_items(data_hash(split, settings))
    fitted = fit_seed(data, number, means)
    del data
    with means.watch("rank"):
        found = rank(split, split.test, BundleScores(fitted.rankers), ["count"] if most else [], most)
        if "cascade" in fitted.rankers:
            found.ranks |= reread_all(split, split.test, fitted.rankers["cascade"], found.ranks["blend"])
        before = _before_refit(split, fitted)
    tables = [all_items_table(split, {**found.ranks, **before, **plain.ranks}, groups, settings.k)]
    told = {"blend": fitted.report.weights, "notes": fitted.report.notes, "interest": fitted.interest}
    told |= {"text": fitted.text} if fitted.text else {}
    told |= {"lm": fitted.lm} if fitted.lm else {}
    if not most:
        return tables, told
    with means.watch("two stages"):
        scorers: dict[str, tuple[Scorer, Ranked]] = {
            "count": (CountScores(fitted.judged["count"]), found),
            PLAIN_BOTH: (recipe, plain),
        }
        for name, (proposes, test) in scorers.items():
            retriever = Retriever(name, split, proposes, test, most)
            for length in settings.lists:
                table, weights = two_stage(
                    retriever, length, fitted, plain.ranks[PLAIN_BOTH], settings.k, means.training
                )
                tables.append(table)
                told[table.name] = weights
    return tables, told


def _before_refit(split: Split, fitted: Fitted) -> dict[str, list[Rows]]:
    """Ranks by the rankers as the validation judged them, where the refit made others of them."""
    if fitted.judged is fitted.rankers:
        return {}
    shown = {name: ranker for name, ranker in fitted.judged.items() if name != "popularity"}
    ranks = rank(split, split.test, BundleScores(shown)).ranks
    return {f"{name}{BEFORE_REFIT}": ranks[name] for name in ("blend", "interest", "count") if name in ranks}


def all_items_table(split: Split, ranks: Mapping[str, Sequence[Any]], groups: Mapping[str, Mask], k: int) -> Table:
    """The table of all items."""
    first = ("cascade", "blend", "lm", "interest", "linear", "count")
    order = (*first, *(name + BEFORE_REFIT for name in first), "zero-shot", "popularity")
    rows = sorted(ranks, key=lambda name: (order.index(name) if name in order else len(order), name))
    pairs = [("cascade", "blend")] if "cascade" in ranks else []
    pairs += [(one, other) for one in ("blend", "interest") for other in (PLAIN_BOTH, PLAIN_COUNT, "count")]
    pairs += [(f"{one}{BEFORE_REFIT}", PLAIN_BOTH) for one in ("blend", "interest")]
    pairs += [("blend", f"blend{BEFORE_REFIT}")]
    # What counts says nothing of items that nobody had: texts are what a blend has to beat there.
    pairs += [("blend", name) for name in ("zero-shot", PLAIN_TEXT)] if "cold" in groups else []
    masked = "what the user had before too" if split.keep_seen else "but for those the user had before"
    return Table(
        ALL_ITEMS,
        f"All {len(split.log.catalogue):,} items, {masked}, are ranked; equal scores stand in the catalogue's order.",
        [split.log.events.users[ask.user] for ask in split.test],
        {name: metrics(ranks[name], k) for name in rows},
        groups,
        [(one, other) for one, other in pairs if one in ranks and other in ranks],
    )


def fit_seed(data: TrainingData, number: int, means: Means) -> Fitted:
    """All rankers, trained with the configured seed + `number`."""
    clock = Clock()
    config = means.training.model_copy(update={"seed": means.training.seed + number})
    fitted = fit_rankers(data, config, means.checkpoints, clock=clock)
    means.watch.add({f"fit {part}": seconds for part, seconds in clock.seconds.items()})
    return fitted


def data_hash(split: Split, settings: ProtocolSettings) -> str:
    """Tells the training states of one split from those of another."""
    told = f"{split.log.hash}/{settings.model_dump_json(exclude={'k', 'seeds', 'lists'})}"
    return hashlib.sha256(told.encode()).hexdigest()


def split_facts(split: Split) -> dict[str, Any]:
    """How large the parts are."""
    return {
        "users": len(np.unique(split.log.events.user)),
        "items": len(split.log.catalogue),
        "events": len(split.log.events),
        "training events": int(split.training.sum()),
        "validation requests": len(split.validation),
        "test requests": len(split.test),
    }
