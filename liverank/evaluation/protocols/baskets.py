"""The prequential protocol: every basket from a cut on is scored before it is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from liverank.config.data import DataConfig
from liverank.evaluation.protocols.results import Table, check_enough, enough, together
from liverank.evaluation.protocols.settings import cut_of
from liverank.evaluation.protocols.split_run import Means, Ran
from liverank.ranking.prequential import AS_OF_CUT, BLEND, COUNT, WITHOUT_INTEREST, run
from liverank.ranking.prequential_counts import BOUGHT_MOST, POPULAR, TOGETHER
from liverank.ranking.prequential_tally import ALL, COLUMNS, FRESH, NEW, Walk

LEADS: Final = {
    ALL: "Baskets after the cut, all items ranked before the basket is learned from.",
    NEW: "Of these, baskets of customers without any before.",
    FRESH: "Baskets of the others, by what of them was new to the customer; what they had is not ranked.",
}
RENEWAL: Final = (
    f"Counts are renewed each midnight, but for '{AS_OF_CUT}', which is what a served model gets that is trained once "
    "at the cut: serving does not renew its counts. Histories grow with each basket; nothing else is learned from."
)
"""Said of every table."""
RIVALS: Final = {ALL: BOUGHT_MOST, NEW: POPULAR, FRESH: TOGETHER}
"""Column -> the row to beat there."""


def run_baskets(dataset: Path, data: DataConfig, means: Means) -> Ran:
    """The walk with each seed, as one table for all baskets, new customers, and items new to the customer.

    Raises:
        DataError: there are no baskets on both sides of the cut, or too few after it.
    """
    cut = cut_of(means.settings.cut)
    walks = []
    for number in range(means.settings.seeds):
        config = means.training.model_copy(update={"seed": means.training.seed + number})
        with means.watch("learn and walk"):
            settings = means.settings
            walk = run(dataset, means.checkpoints, config, data, cut, share=settings.share, k=settings.k, check=_check)
        means.watch.add({"walk alone": walk.seconds})
        walks.append(walk)
    tables = [together([_table(walk, column) for walk in walks]) for column in COLUMNS if _has(walks[0], column)]
    first = walks[0]
    facts = {name: first.facts[name] for name in ("items", "baskets")} | {
        "users": len(first.users),
        "cut": datetime.fromtimestamp(first.cut, UTC).isoformat(),
        "test requests": len(next(iter(first.tallies.values())).users[ALL]),
    }
    return Ran(tables, facts, {"seeds": [walk.facts for walk in walks]})


def _check(customers: Sequence[str]) -> None:
    check_enough(customers, "Give more customers with baskets after the cut, or an earlier --cut.")


def _has(walk: Walk, column: str) -> bool:
    return enough(next(iter(walk.tallies.values())).users[column])


def _table(walk: Walk, column: str) -> Table:
    tallies = walk.tallies
    users = [walk.users[user] for user in next(iter(tallies.values())).users[column]]
    values = {name: np.asarray(tally.values[column], np.float64) for name, tally in tallies.items()}
    return Table(
        column,
        f"{LEADS[column]} {RENEWAL}",
        users,
        {name: {"ndcg": of[:, 0], "hit_rate": of[:, 1]} for name, of in values.items()},
        compared=_compared(list(tallies), column),
    )


def _compared(rows: Sequence[str], column: str) -> list[tuple[str, str]]:
    blends = [name for name in (BLEND, WITHOUT_INTEREST, AS_OF_CUT) if name in rows]
    pairs = [(name, RIVALS[column]) for name in blends]
    return pairs + [(BLEND, name) for name in (COUNT, WITHOUT_INTEREST, AS_OF_CUT) if name in rows]
