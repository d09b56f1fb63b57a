"""The re-ranker's benchmark scores the same pairs every way, and its page says what was measured."""

from __future__ import annotations

from benchmarks.reranker import WAYS, Timed, part
from benchmarks.reranker_stages import speed


def test_every_way_is_timed_on_the_same_requests():
    found = speed(candidates=4, requests=1, history=3)
    assert set(found["seconds"]) == set(WAYS)
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["tokens"]["history"] > found["tokens"]["candidate"] > 8


def test_the_page_sets_them_beside_the_cross_encoder():
    seconds = dict(zip(WAYS, (0.01, 0.03, 0.02, 0.2, 0.25), strict=True))
    text = part("where", [Timed(100, 15, seconds, {"history": 250.0, "candidate": 14.0})])
    assert f"| {WAYS[0]} | 10 |" in text
    assert f"| {WAYS[0]} | 10,000 |" in text
    assert f"| {WAYS[0]} | 25.0 |" in text
