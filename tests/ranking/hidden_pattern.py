"""A shop whose pairs share no word: only what users take brings the two words for one kind of item together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from liverank.config.training import InterestConfig, TextTuningConfig, TrainingConfig
from liverank.ranking.data import Catalogue, Events
from tests.ranking.test_count import catalogue_of, events_of

KINDS = (
    ("lamp", "otter"),
    ("violin", "cement"),
    ("pepper", "helmet"),
    ("carpet", "comet"),
    ("ladder", "cheese"),
    ("anchor", "poem"),
    ("mirror", "tractor"),
    ("candle", "glacier"),
    ("saddle", "vaccine"),
    ("basket", "lawyer"),
)
FILLING = ("north", "seven", "quick", "pale", "old", "grand", "plain", "early")
EACH = 4
"""Items of a kind by each of its words."""

TEXT = TextTuningConfig(
    tune="on", steps=30, batch=40, layers=2, learning_rate=5e-4, window=1, held_out=0.35, judge_steps=15
)
CONFIG = TrainingConfig(threads=1, seed=3, device="cpu", text=TEXT, interest=InterestConfig(enabled=False))


@dataclass(frozen=True)
class Shop:
    catalogue: Catalogue
    events: Events


def shop(users: int = 300) -> Shop:
    """Each user takes eight items of one kind, by the one word and the other in turn."""
    rng = np.random.default_rng(5)
    titles = [f"{filling} {word}" for pair in KINDS for word in pair for filling in rng.permutation(FILLING)[:EACH]]
    rows = []
    for user in range(users):
        kind = int(rng.integers(len(KINDS)))
        for step in range(8):
            item = (2 * kind + step % 2) * EACH + int(rng.integers(EACH))
            rows.append((user, item, float(step)))
    events = events_of(rows)
    return Shop(replace(catalogue_of(*titles), train_events=np.bincount(events.item, minlength=len(titles))), events)


def shuffled(of: Shop) -> Shop:
    """The same events with items that have nothing to do with each other."""
    return replace(of, events=replace(of.events, item=np.random.default_rng(6).permutation(of.events.item)))
