"""The benchmark of list shaping times every way, and its page says what was measured."""

from __future__ import annotations

from benchmarks.shaping import part
from benchmarks.shaping_stages import WAYS, shaping


def test_every_way_is_timed():
    found = shaping(candidates=30, k=5, lists=1)
    assert set(found) == set(WAYS)
    assert all(milliseconds > 0 for one in found.values() for milliseconds in one.values())


def test_the_page_has_a_row_a_way_and_the_bar():
    found = {way: {"best": 0.5 + at, "drawn": 1.25 + at} for at, way in enumerate(WAYS)}
    text = part("where", {(500, 10): found})
    assert "| scores alone | 0.50 | 1.25 |" in text
    assert text.count("\n| ") == len(WAYS) + 3
    assert "| a cap, MMR, 10 of 500 | 5.5 ms | 2 ms | **missed** |" in text
