"""Zero-shot ranking of a few candidates: what came and some drawn at random, by rankers that were never trained.

Sampled candidates say little of a ranking of all items (Krichene and Rendle, 2020); this stands here because language
models without training are published so (Hou et al., 2024, who take 20 candidates).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from liverank import progress
from liverank.config.training import TrainingConfig
from liverank.evaluation.protocols.asks import Ask, Split
from liverank.evaluation.protocols.plain_counts import PlainCounts
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.results import Table
from liverank.evaluation.protocols.scoring import PLAIN_COUNT, PLAIN_TEXT, REQUESTS_AT_ONCE
from liverank.ranking.catalogue import Floats, Rows
from liverank.ranking.zero_shot import ZeroShotRanker
from liverank.text import LanguageModel, embed_with_cache

SEED = 19


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


def drawn(split: Split, ask: Ask, candidates: int, rng: np.random.Generator) -> Rows:
    """The truth and others in random order, `[candidates]`."""
    others = np.setdiff1d(split.candidates(ask), ask.truth)
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
