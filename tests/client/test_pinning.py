"""The order that the client falls back to keeps the caller's pins and exclusions as the server does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.client.answers import incoming_order
from liverank.client.pinning import arranged
from liverank.shaping.arranging import arrange
from liverank.shaping.listed import Listed
from liverank.shaping.rules import Pin, Rules

IDS = list("abcde")


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ({"pin": [{"item_id": "c"}]}, "cabde"),
        ({"pin": [{"item_id": "c", "position": 2}]}, "acbde"),
        ({"pin": ["e", {"item_id": "a", "position": 1}, {"item_id": "b", "position": 99}]}, "aecdb"),
        ({"pin": [Pin(item_id="d")]}, "dabce"),
        ({"pin": ["c", {"item_id": "d"}], "exclude": ["c", "d"]}, "abe"),
        ({"pin": ["x", {"item_id": "y", "position": 1}]}, "abcde"),
        ({"pin": [{"item_id": "c", "position": 0}, {"item_id": ["d"]}, 7, {}], "exclude": [["a"]]}, "cabde"),
        ({"pin": "c", "exclude": None}, "abcde"),
        ({"exclude": IDS, "pin": ["a"]}, ""),
    ],
)
def test_pins_stand_at_their_places_and_what_is_excluded_never(rules: dict[str, Any], shown: str) -> None:
    assert arranged(IDS, rules) == list(shown)
    assert incoming_order(IDS, rules, 2, "away").item_ids == list(shown[:2])


@given(
    pins=st.lists(st.tuples(st.sampled_from(IDS), st.none() | st.integers(1, 7)), unique_by=lambda pin: pin[0]),
    excluded=st.lists(st.sampled_from(IDS), unique=True),
)
def test_it_is_the_order_that_a_server_gives_that_ranks_as_the_list_came(
    pins: list[tuple[str, int | None]], excluded: list[str]
) -> None:
    rules = Rules(exclude=excluded, pin=[Pin(item_id=item, position=place) for item, place in pins])
    scores = -np.arange(len(IDS), dtype=np.float32)
    new = np.zeros(len(IDS), bool)
    listed = Listed(IDS, scores, lambda _: [""] * len(IDS), lambda: new, lambda: None)
    found = arrange(listed, rules, None, listed.among(excluded))
    sent = {"exclude": excluded, "pin": [{"item_id": item, "position": place} for item, place in pins]}
    assert arranged(IDS, sent) == [IDS[row] for row in found.rows]
