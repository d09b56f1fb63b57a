"""Two stages: a retriever's best items, truth not forced in, put in a new order by the blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.config.training import TrainingConfig
from liverank.evaluation.protocols.asks import Ask, Split, sample
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.reread import read_again
from liverank.evaluation.protocols.results import Table
from liverank.evaluation.protocols.scoring import PLAIN_BOTH, REQUESTS_AT_ONCE, Ranked, Scorer, rank
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import fit_blend
from liverank.ranking.catalogue import Rows
from liverank.ranking.data import LabelledRequest
from liverank.ranking.fit import Fitted
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Scores

VALIDATION_LISTS = 2000
IN_LIST = "truth in the list"
BEFORE_REFIT = ", before the refit"
"""Ends the names of rows of rankers that have not seen the validation."""
Lists = npt.NDArray[np.int32]
"""Best rows first, `[requests, most]`, -1 past the end."""


class Retriever:
    """What proposes the lists: a row of the table, its lists of the test and of a sample of the validation."""

    def __init__(self, name: str, split: Split, scorer: Scorer, test: Ranked, most: int) -> None:
        self.name = name
        self.split = split
        self.ranks, self.best = test.ranks[name], test.best[name]
        self._asks, self._lists = validation_lists(split, scorer, name, most)

    def validation(self, length: int) -> list[LabelledRequest]:
        """The validation's lists of some length, as requests that came from a retriever."""
        return list_requests(self.split, self._asks, self._lists[:, :length])


def validation_lists(split: Split, scorer: Scorer, name: str, most: int) -> tuple[list[Ask], Lists]:
    """A fixed sample of the validation and its retrieved lists."""
    asks = sample(split.validation, VALIDATION_LISTS)
    found = rank(split, asks, scorer, [name], most, validation=True)
    return asks, found.best.get(name, np.zeros((0, most), np.int32))


def list_requests(split: Split, asks: Sequence[Ask], best: Lists) -> list[LabelledRequest]:
    """Retrieved lists as labelled requests; the truth is not forced in."""
    names = split.log.catalogue.item_ids
    requests = []
    for number, (ask, of) in enumerate(zip(asks, best, strict=True)):
        rows = listed(of)
        requests.append(split.labelled(ask, rows, [names[row] for row in rows.tolist()], number))
    return requests


def two_stage(
    retriever: Retriever, length: int, fitted: Fitted, plain: Sequence[Rows], k: int, config: TrainingConfig
) -> tuple[Table, dict[str, Any]]:
    """The table of lists of one length, and the weights of the blend.

    The blend's weights are learned on the validation's lists of the same retriever and length, as a served model's are
    on the lists it re-ranks. A truth outside the list keeps the retriever's rank.

    Args:
        retriever: proposes the lists.
        length: of the lists.
        fitted: the rankers; those before the refit learn the weights, those after it take them over.
        plain: ranks of the plain recipe over all items, to compare with.
        k: cut-off of the metrics.
        config: settings of training; says how many of a list a language model reads.
    """
    split = retriever.split
    validation = retriever.validation(length)
    blend, report = fit_blend(fitted.judged, validation)
    proposed = retriever.best[:, :length]
    served = blend.over(fitted.rankers)
    cascade = cascade_over(blend, served, fitted, validation, config)
    rows: dict[str, Sequence[Rows]] = {**reranked(served, split, split.test, proposed, retriever.ranks, cascade)}
    if fitted.judged is not fitted.rankers:
        rows[f"blend{BEFORE_REFIT}"] = reranked(blend, split, split.test, proposed, retriever.ranks)["blend"]
    rows |= {retriever.name: retriever.ranks, PLAIN_BOTH: plain}
    inside = np.asarray([bool((of <= length).any()) for of in retriever.ranks], bool)
    table = Table(
        f"lists of {length} from {retriever.name}",
        f"The {length} best of {retriever.name} in a new order; a truth outside the list keeps its rank. "
        f"{PLAIN_BOTH} ranks all items.",
        [split.log.events.users[ask.user] for ask in split.test],
        {name: metrics(of, k) for name, of in rows.items()},
        {IN_LIST: inside},
        ([("cascade", "blend")] if "cascade" in rows else [])
        + [("blend", name) for name in rows if name not in {"blend", "cascade", "lm"}]
        + [(one, PLAIN_BOTH) for one in rows if one.endswith(BEFORE_REFIT)],
    )
    return table, report.weights


def cascade_over(
    blend: BlendRanker,
    served: BlendRanker,
    fitted: Fitted,
    validation: Sequence[LabelledRequest],
    config: TrainingConfig,
) -> CascadeRanker | None:
    """The cascade over a blend with weights of its own, learned on the same validation; None without one.

    Args:
        blend: over the rankers before the refit.
        served: over those after it.
        fitted: the rankers.
        validation: requests that the weights are learned on.
        config: settings of training.
    """
    if "lm" not in fitted.rankers:
        return None
    # Imported here: torch is only wanted where a language model was trained.
    from liverank.ranking.lm.fitting import learn_cascade

    learned = learn_cascade(blend, fitted.judged["lm"], validation, config)
    return learned.over_blend(served, fitted.rankers["lm"])


def reranked(
    blend: BlendRanker,
    split: Split,
    asks: Sequence[Ask],
    best: Lists,
    ranks: Sequence[Rows],
    cascade: CascadeRanker | None = None,
) -> dict[str, list[Rows]]:
    """Ranks of the wanted items after the blend has put the lists in its order; equal scores keep the list's.

    With a `cascade` over the blend also those in its order, and in its language model's own.
    """
    found: dict[str, list[Rows]] = {}
    for start in range(0, len(asks), REQUESTS_AT_ONCE):
        part = slice(start, start + REQUESTS_AT_ONCE)
        lists = [listed(of) for of in best[part]]
        requests = [split.encoded(ask, rows) for ask, rows in zip(asks[part], lists, strict=True)]
        scores = blend.combine(requests, blend.signals(requests))
        truths = [ask.truth for ask in asks[part]]

        def ranked(at: int, of: Scores, lists: Any = lists, truths: Any = truths, before: Any = ranks[part]) -> Rows:
            return new_ranks(lists[at][np.argsort(-of, kind="stable")], truths[at], before[at])

        rows = read_again(cascade, requests, truths, scores, ranked) if cascade else {}
        for name, of in {**rows, "blend": [ranked(at, own) for at, own in enumerate(scores)]}.items():
            found.setdefault(name, []).extend(of)
    return found


def new_ranks(order: Rows, truth: Rows, before: Rows) -> Rows:
    """Ranks of the wanted items in a list's new order; those outside it keep the rank they had."""
    place = {row: at for at, row in enumerate(order.tolist(), 1)}
    return np.asarray(
        [place.get(row, rank) for row, rank in zip(truth.tolist(), before.tolist(), strict=True)], np.int64
    )


def listed(best: npt.NDArray[np.int32]) -> Rows:
    """The rows of one list, without what fills it up."""
    rows = best.astype(np.int64)
    return rows[rows >= 0]
