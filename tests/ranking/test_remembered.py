"""What rankers make of a history is kept with it where it will be read again, and changes no score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.events import Item
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.protocol import Candidates, Context, History, Request, remembered


def request(bundle, history: History, now: float) -> Request:
    ids = list(bundle.catalogue.item_ids)
    return Request(history, Candidates([*ids[:40], "unknown"], {"unknown": "A red lamp"}), Context(now), "u")


def history(bundle, end: int = 8) -> History:
    ids = list(bundle.catalogue.item_ids)[:end]
    return History(ids, ["click"] * len(ids), [1.7e9 + 600 * at for at in range(len(ids))])


@pytest.mark.parametrize("name", ["blend", "count", "linear", "zero-shot", "interest"])
def test_scores_are_those_without(bundle, name):
    ranker, plain = bundle.rankers[name], history(bundle)
    kept = replace(plain, memo={})
    for hours in (1, 30, 300):
        now = 1.7e9 + 3600 * hours
        (expected,) = ranker.score_batch([request(bundle, plain, now)])
        for _ in range(2):
            (found,) = ranker.score_batch([request(bundle, kept, now)])
            np.testing.assert_array_equal(found, expected)
    assert kept.memo


def test_lists_of_several_users_are_scored_as_alone(bundle):
    ranker = bundle.primary
    requests = [request(bundle, replace(history(bundle, end), memo={}), 1.71e9) for end in (3, 5, 8)]
    together = ranker.score_batch(requests)
    for one, scores in zip(requests, together, strict=True):
        np.testing.assert_array_equal(ranker.score_batch([one])[0], scores)


def test_a_ranker_over_new_items_reads_anew(fitted):
    bundle, other = load_bundle(fitted[0]), load_bundle(fitted[0])
    kept = replace(history(bundle), memo={})
    bundle.primary.score_batch([request(bundle, kept, 1.71e9)])
    item = Item(item_id="new", title="A lamp of glass", category="lamps")
    for each in (bundle, other):
        each.add_items([item])
    (found,) = bundle.primary.score_batch([request(bundle, kept, 1.71e9)])
    (expected,) = other.primary.score_batch([request(other, history(other), 1.71e9)])
    np.testing.assert_array_equal(found, expected)


def test_made_once_for_each_owner_and_name():
    made: list[str] = []

    def make(name: str) -> str:
        made.append(name)
        return name

    one, other = object(), object()
    kept, plain = History(["a"], ["click"], [0.0], {}), History(["a"], ["click"], [0.0])
    for owner, name in ((one, "x"), (one, "x"), (one, "y"), (other, "x"), (one, "x")):
        assert remembered(kept, owner, name, lambda name=name: make(name)) == name
    assert made == ["x", "y", "x"]
    for _ in range(2):
        remembered(plain, one, "z", lambda: make("z"))
    assert made[3:] == ["z", "z"]
