"""A shop in which things go together by a hidden pattern, and a blend that knows nothing of it."""

from __future__ import annotations

import numpy as np

from liverank.config.lm import LmConfig
from liverank.ranking.blend_learning import fit_blend
from liverank.ranking.count import CountRanker
from liverank.ranking.data import LabelledRequest, TrainingData
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.text import LanguageModel
from tests.ranking.contract import NOW
from tests.ranking.hidden_pattern import EACH, KINDS

WORDS = [word for pair in KINDS for word in pair] + [
    "north",
    "seven",
    "quick",
    "pale",
    "old",
    "grand",
    "plain",
    "early",
]
LM = LmConfig(
    enabled=True, joint_layers=1, history_tokens=64, lists=400, negatives=7, hard=40, steps=80, batch=16,
    judge_steps=40, learning_rate=5e-3, top=20, judge_lists=60,
)  # fmt: skip


def validation(world, users=240):
    """New users with four events of a kind; what they take next is one of four, beside nineteen of other kinds."""
    rng = np.random.default_rng(9)
    names, found = world.catalogue.item_ids, []
    for user in range(users):
        kind = int(rng.integers(len(KINDS)))
        own = [int(rng.integers(EACH)) + (2 * kind + step % 2) * EACH for step in range(5)]
        others = rng.permutation([at for at in range(len(names)) if at // (2 * EACH) != kind])[:19]
        rows = rng.permutation([own[-1], *others])
        history = History([names[at] for at in own[:-1]], ["click"] * 4, [NOW - 900 + 100.0 * at for at in range(4)])
        request = Request(history, Candidates([names[at] for at in rows]), Context(NOW), f"new-{user}")
        labels = (rows == own[-1]).astype(np.float32)
        found.append(LabelledRequest(request, f"r{user}", labels, (names[own[-1]],), "retriever"))
    return found


def data_of(world):
    vectors = LanguageModel().encode(world.catalogue.texts)
    return TrainingData(world.catalogue.with_embeddings(vectors), world.events, validation(world), "hash")


def blind(data, config):
    """Counts and a blend that know nothing of what goes together: popularity alone."""
    count = CountRanker.fit(data.catalogue, data.events, config.count)
    count.weights = np.zeros_like(count.weights)
    count.weights[:, 2] = 0.1
    blend, _ = fit_blend({"count": count}, [])
    blend.weights = np.zeros_like(blend.weights)
    blend.weights[:, 2] = 0.1
    return {"count": count, "blend": blend}
