"""Ranking of a few candidates: what came and some drawn at random, by rankers that were never trained, and by others.

Sampled candidates say little of a ranking of all items (Krichene and Rendle, 2020); this stands here because language
models without training are published so (Hou et al., 2024, who take 20 candidates), beside a trained one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.evaluation.protocols.asks import Ask, Split, sample
from liverank.evaluation.protocols.plain_counts import PlainCounts
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.results import Table
from liverank.evaluation.protocols.scoring import PLAIN_COUNT, PLAIN_TEXT, REQUESTS_AT_ONCE, counted
from liverank.evaluation.protocols.split_run import Means, data_hash, fit_seed
from liverank.evaluation.protocols.two_stage import (
    VALIDATION_LISTS,
    Lists,
    cascade_over,
    list_requests,
    listed,
    reranked,
)
from liverank.ranking.blend import BlendRanker
from liverank.ranking.blend_learning import fit_blend
from liverank.ranking.catalogue import Floats, Rows
from liverank.ranking.data import LabelledRequest
from liverank.ranking.fit import Fitted
from liverank.ranking.protocol import Scores
from liverank.ranking.zero_shot import ZeroShotRanker
from liverank.text import LanguageModel, embed_with_cache

SEED = 19
VALIDATION_SEED = 23
_ENCODED = ("interest", "linear")
"""Rankers that score encoded requests."""
_COMPARED = (("cascade", "blend"), ("blend", "interest"), ("blend", "count"))


def sampled_table(split: Split, candidates: int, k: int, config: TrainingConfig, checkpoints: Path) -> Table:
    """Ranks the test's truth among `candidates` - 1 others, drawn at random from what the user did not have.

    The counted recipe is trained, and stands there to compare with. Equal scores stand in the random order in which
    the candidates are drawn.
    """
    catalogue = split.log.catalogue
    recipe = PlainCounts.fit(split.sequences(), catalogue.texts)
    model = LanguageModel(config.language_model, config.max_tokens)
    catalogue = catalogue.with_embeddings(embed_with_cache(model, catalogue.texts, checkpoints))
    zero_shot = ZeroShotRanker(catalogue, model)
    rng = np.random.default_rng(SEED)
    ranks: dict[str, list[Rows]] = {}
    with progress.stage("rank sampled candidates", len(split.test)) as stage:
        for start in range(0, len(split.test), REQUESTS_AT_ONCE):
            part = split.test[start : start + REQUESTS_AT_ONCE]
            lists = [drawn(split, ask, candidates, rng) for ask in part]
            for name, scores in _scores(split, part, lists, recipe, zero_shot).items():
                ranks.setdefault(name, []).extend(_ranks(part, lists, scores))
            stage.advance(len(part))
    return Table(
        f"{candidates} sampled candidates",
        f"What came and {candidates - 1} random items that the user did not have; {PLAIN_COUNT} is trained, the others "
        "never.",
        [split.log.events.users[ask.user] for ask in split.test],
        {name: metrics(of, k) for name, of in ranks.items()},
        compared=[("zero-shot", PLAIN_TEXT)],
    )


def trained_tables(split: Split, candidates: int, means: Means) -> tuple[list[Table], list[dict[str, Any]]]:
    """As `sampled_table`, of the same candidates, by the rankers of each seed's bundle; and what each seed chose.

    The blend's weights, and the cascade's, are learned on the validation's events among as many random items, as a
    served model's are on lists such as it re-ranks.
    """
    lists = _drawn_lists(split, split.test, candidates, SEED)
    asks = sample(split.validation, VALIDATION_LISTS)
    validation = list_requests(split, asks, _drawn_lists(split, asks, candidates, VALIDATION_SEED, validation=True))
    tables, chosen = [], []
    for number in range(means.settings.seeds):
        data = split.over_all_items(data_hash(split, means.settings))
        fitted = fit_seed(data, number, means)
        with means.watch("rank"):
            blend, report = fit_blend(fitted.judged, validation)
            ranks = _trained_ranks(split, lists, fitted, blend, validation, means.training)
        chosen.append({"blend": report.weights, "interest": fitted.interest, "lm": fitted.lm})
        tables.append(
            Table(
                f"{candidates} sampled candidates, trained",
                f"What came and {candidates - 1} random items that the user did not have.",
                [split.log.events.users[ask.user] for ask in split.test],
                {name: metrics(of, means.settings.k) for name, of in ranks.items()},
                compared=[(one, other) for one, other in _COMPARED if one in ranks and other in ranks],
            )
        )
    return tables, chosen


def _trained_ranks(
    split: Split,
    lists: Lists,
    fitted: Fitted,
    blend: BlendRanker,
    validation: Sequence[LabelledRequest],
    config: TrainingConfig,
) -> dict[str, list[Rows]]:
    served = blend.over(fitted.rankers)
    unknown = [np.full(len(ask.truth), np.iinfo(np.int64).max) for ask in split.test]
    cascade = cascade_over(blend, served, fitted, validation, config)
    found = reranked(served, split, split.test, lists, unknown, cascade)
    alone = [name for name in _ENCODED if name in fitted.rankers]
    for start in range(0, len(split.test), REQUESTS_AT_ONCE):
        part = split.test[start : start + REQUESTS_AT_ONCE]
        rows = [listed(of) for of in lists[start : start + REQUESTS_AT_ONCE]]
        encoded = [split.encoded(ask, of) for ask, of in zip(part, rows, strict=True)]
        scores: dict[str, list[Scores]] = {name: fitted.rankers[name].score_encoded(encoded) for name in alone}
        scores["count"] = counted(fitted.rankers["count"], encoded)
        for name, of in scores.items():
            found.setdefault(name, []).extend(_ranks(part, rows, of))
    return found


def _drawn_lists(split: Split, asks: Sequence[Ask], candidates: int, seed: int, validation: bool = False) -> Lists:
    """Candidates of each request, `[requests, candidates]`; -1 where there are fewer items."""
    rng = np.random.default_rng(seed)
    found = np.full((len(asks), candidates), -1, np.int32)
    for at, ask in enumerate(asks):
        rows = drawn(split, ask, candidates, rng, validation)
        found[at, : len(rows)] = rows
    return found


def drawn(split: Split, ask: Ask, candidates: int, rng: np.random.Generator, validation: bool = False) -> Rows:
    """The truth and others in random order, `[candidates]`."""
    others = np.setdiff1d(split.candidates(ask, validation), ask.truth)
    chosen = rng.choice(others, min(candidates - len(ask.truth), len(others)), replace=False)
    return rng.permutation(np.concatenate([ask.truth, chosen]))


def _scores(
    split: Split, part: Sequence[Ask], lists: Sequence[Rows], recipe: PlainCounts, zero_shot: ZeroShotRanker
) -> Mapping[str, list[Floats]]:
    histories = [split.history_rows(ask) for ask in part]
    sides = {PLAIN_TEXT: recipe.similar(histories), PLAIN_COUNT: recipe.counted(histories)}
    found = {name: [row[of] for row, of in zip(side, lists, strict=True)] for name, side in sides.items()}
    encoded = [split.encoded(ask, rows) for ask, rows in zip(part, lists, strict=True)]
    return {"zero-shot": zero_shot.score_encoded(encoded), **found}


def _ranks(part: Sequence[Ask], lists: Sequence[Rows], scores: Sequence[Floats]) -> list[Rows]:
    found = []
    for ask, rows, of in zip(part, lists, scores, strict=True):
        order = rows[np.argsort(-of, kind="stable")]
        found.append(np.flatnonzero(np.isin(order, ask.truth)) + 1)
    return found
