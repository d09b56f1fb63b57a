"""Lists for the metric tests: written down, or drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from liverank.evaluation.lists import Lists, RankedLists, build_lists


def lists_of(*requests: tuple[str, Sequence[float]], outside: Sequence[Sequence[str]] | None = None) -> Lists:
    """Requests as (one letter an item, labels); items a, b, c... are the rows 0, 1, 2... of the catalogue."""
    codes = {letter: row for row, letter in enumerate("abcdefghij")}
    items = [list(letters) for letters, _ in requests]
    labels = [np.array(label, float) for _, label in requests]
    return build_lists(items, labels, outside or [()] * len(requests), codes)


def as_given(lists: Lists) -> RankedLists:
    """The lists ranked in the order they came in."""
    lengths = np.sum(lists.items >= 0, axis=1)
    return lists.ranked([-np.arange(length, dtype=float) for length in lengths])


@st.composite
def judged_lists(draw: st.DrawFn, ties: bool = True, graded: bool = False) -> tuple[Lists, list[np.ndarray]]:
    """One to five requests of nought to twelve distinct items, with labels, missed items and scores."""
    requests, outside, scores = [], [], []
    values = st.integers(-3, 3) if ties else st.floats(-1e6, 1e6, allow_nan=False)
    for _ in range(draw(st.integers(1, 5))):
        letters = draw(st.lists(st.sampled_from("abcdefghijklmnop"), max_size=12, unique=True))
        grades = st.sampled_from([0.0, 0.5, 1.0, 3.0] if graded else [0.0, 1.0])
        labels = draw(st.lists(grades, min_size=len(letters), max_size=len(letters)))
        missed = draw(st.lists(st.sampled_from("xyz"), max_size=3, unique=True))
        requests.append(("".join(letters), labels))
        outside.append(missed)
        given = st.lists(values, min_size=len(letters), max_size=len(letters), unique=not ties)
        scores.append(np.array(draw(given), float))
    return lists_of(*requests, outside=outside), scores
