"""Exclusions, pins, caps and the minimum of new items hold on any list on which they can, and else say so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings

from liverank.shaping.arranging import arrange
from liverank.shaping.listed import boosted, standardised
from liverank.shaping.rules import Boost, Cap, NewItems, Pin, Rules
from liverank.shaping.search import MOST_LOOKS_ALTOGETHER, MOST_LOOKS_TO_SETTLE, Search
from liverank.shaping.setting import pinned
from tests.shaping.lists import best_list, cap_holds, every_list, listed, problems, random_problem, shown


def arranged(given, k=None, excluded=(), **rules):
    found = arrange(given, Rules(**rules), k, given.among(excluded))
    return shown(found, given), found.lacking


def pins_of(given, rules, excluded):
    return pinned(rules.pins, given, excluded, len(given) - int(excluded.sum()))[0]


# By hand.


def test_a_cap_lets_the_best_of_each_value_through():
    given = listed([9, 8, 7, 6, 5, 4], category="xxxyyz")
    assert arranged(given, 4, caps=[Cap(most=1, within=3)]) == ("adfb", [])
    assert arranged(given, 4, caps=[Cap(most=2)]) == ("abde", [])


def test_a_cap_counts_an_attribute_and_not_what_lacks_it():
    given = listed([9, 8, 7, 6], category="xxxx", brand="p.p.")
    assert arranged(given, caps=[Cap(attribute="brand", most=1, within=3)]) == ("abdc", [])


def test_the_minimum_of_new_items_is_met_as_late_as_can_be():
    given = listed([9, 8, 7, 6, 5], [False, False, False, True, True])
    assert arranged(given, new=NewItems(least=0.5, within=3)) == ("adebc", [])
    assert arranged(given, 3, new=NewItems(least=0.1)) == ("abd", [])


def test_a_cap_leaves_room_for_the_new_items_that_are_still_needed():
    # Both new items are of x: b, old and better, would take the room of one of them.
    given = listed([9, 8, 3, 2, 1], [False, False, False, True, True], category="zxyxx")
    rules = {"caps": [Cap(most=2)], "new": NewItems(least=0.5, within=4)}
    assert arranged(given, 4, **rules) == ("acde", [])


def test_pins_stand_where_they_should():
    given = listed([9, 8, 7, 6, 5])
    assert arranged(given, pin=["e", Pin(item_id="d", position=3)]) == ("eadbc", [])
    assert arranged(given, 2, pin=[Pin(item_id="d", position=3)]) == ("ab", [])
    assert arranged(given, 2, pin=["nobody", "c", "b"]) == ("cb", [])
    assert arranged(given, pin=["e", Pin(item_id="a", position=2), "d", "c"]) == ("eadcb", [])
    taken = "rules: pin 'b' stands at 4, position 5 is not to be had"
    assert arranged(given, pin=[Pin(item_id="a", position=5), Pin(item_id="b", position=5)]) == ("cdeba", [taken])


def test_a_pin_takes_the_next_free_place_or_the_last():
    rng = np.random.default_rng(4)
    for _ in range(200):
        size = int(rng.integers(1, 12))
        given = listed(range(size))
        places = rng.integers(1, size + 3, size).tolist()
        pins = [Pin(item_id=item, position=place) for item, place in zip(given.item_ids, places, strict=True)]
        found = pinned(pins, given, given.among(()), size)[0]
        free = list(range(1, size + 1))
        for row, wanted in enumerate(places):
            place = next((one for one in free if one >= wanted), free[-1])
            free.remove(place)
            assert found[place] == row


def test_what_cannot_be_done_is_said():
    given = listed([9, 8, 7, 6], category="xxxy")
    allow = "the candidates allow no more"
    assert arranged(given, caps=[Cap(most=1, within=3)]) == (
        "adbc",
        [f"rules: at most 1 of a category within 3: holds for the first 2, {allow}"],
    )
    assert arranged(given, 3, new=NewItems(least=1)) == ("abc", [f"rules: 3 new within 3: 0 hold, {allow}"])
    assert arranged(given, pin=[Pin(item_id="b", position=9)]) == (
        "acdb",
        ["rules: pin 'b' stands at 4, position 9 is not to be had"],
    )
    assert arranged(given, excluded="b", pin=["b"]) == ("acd", ["rules: pin 'b' is excluded"])
    over = "rules: at most 1 of a category: 2 are pinned"
    assert arranged(given, 3, pin=["b", "c"], caps=[Cap(most=1)]) == ("bcd", [over])


def test_the_first_cap_holds_before_the_second():
    given = listed([9, 8, 7], category="xxy", brand="pqq")
    first = [Cap(most=1, within=2), Cap(attribute="brand", most=1, within=3)]
    found, lacking = arranged(given, caps=first)
    assert found == "acb"
    assert lacking == ["rules: at most 1 of a brand within 3: holds for the first 2, the candidates allow no more"]


def test_two_caps_are_searched_for_a_way_out():
    # a is the best, but after it b and c are the only ones left and share a brand.
    given = listed([9, 8, 7, 1], category="xyzx", brand="pqqp")
    caps = [Cap(most=1, within=3), Cap(attribute="brand", most=1, within=2)]
    assert arranged(given, 3, caps=caps) == ("abc", [])
    crossed = listed([9, 8, 7, 6], category="xxyy", brand="pqpr")
    assert arranged(crossed, 2, caps=[Cap(most=1), Cap(attribute="brand", most=1)]) == ("ad", [])


# Against every list there is.


@settings(max_examples=100, deadline=None)
@drawn(problems(caps=1))
def test_one_cap_and_a_minimum_are_exact(problem):
    check(*problem)


@settings(max_examples=100, deadline=None)
@drawn(problems(caps=3))
def test_several_caps_too(problem):
    check(*problem)


@pytest.mark.parametrize("caps", [1, 3])
def test_tight_lists_too(caps):
    rng = np.random.default_rng(caps)
    for _ in range(600):
        check(*random_problem(rng, caps))


def check(given, rules, excluded, k):
    """The list holds all rules whenever any list does, and is then the best position by position."""
    found = arrange(given, rules, k, excluded)
    pins = pins_of(given, rules, excluded)
    kept = np.flatnonzero(~excluded).tolist()
    length = min(k or len(kept), len(kept))
    assert len(found.rows) == len(set(found.rows)) == length
    assert set(found.rows) <= set(kept)
    shown_pins = {place: row for place, row in pins.items() if place <= length}
    assert all(found.rows[place - 1] == row for place, row in shown_pins.items())
    free = [row for row in kept if row not in pins.values()]
    best = best_list(rules, given, [*free, *shown_pins.values()], length, shown_pins)
    unmet = [line for line in found.lacking if "allow no more" in line]
    assert bool(unmet) == (best is None)
    assert best is None or found.rows == best


@settings(max_examples=150, deadline=None)
@drawn(problems(caps=1, pins=False))
def test_what_gives_way_gives_way_no_further_than_it_must(problem):
    given, rules, excluded, k = problem
    found = arrange(given, rules, k, excluded)
    kept = np.flatnonzero(~excluded).tolist()
    length = min(k or len(kept), len(kept))
    lists = list(every_list(kept, length, {}))

    def reach(cap, rows):
        window = min(cap.within or length, length)
        return max((head for head in range(1, window + 1) if cap_holds(cap, given, rows[:head])), default=0)

    for cap in rules.caps[:1]:
        best = max(reach(cap, rows) for rows in lists)
        assert reach(cap, found.rows) == best
        lists = [rows for rows in lists if reach(cap, rows) == best]
    if rules.new is not None and length:
        head = min(rules.new.within or length, length)
        wanted = int(np.ceil(rules.new.least * head - 1e-9))
        most = max(sum(given.is_new()[rows[:head]]) for rows in lists)
        assert sum(given.is_new()[found.rows[:head]]) >= min(wanted, most)


def test_lists_without_a_way_out_are_given_up_in_time():
    """Three partitions at once: the search may end without an answer, the list may not."""
    rng = np.random.default_rng(5)
    letters = [chr(0x4E00 + at) for at in range(60)]
    parts = {name: "".join(rng.choice(letters[:12], 200)) for name in ("category", "brand", "colour")}
    given = listed(rng.normal(size=200), rng.random(200) < 0.05, **parts)
    caps = [Cap(attribute=name, most=1, within=12) for name in parts]
    found = arrange(given, Rules(caps=caps, new=NewItems(least=1, within=12)), 20, given.among(()))
    assert len(found.rows) == 20
    held = {
        line.split(" of a ")[1].split()[0]: int(line.split("first ")[1].split(",")[0]) for line in found.lacking[:-1]
    }
    for cap in caps:
        reach = held.get(cap.attribute, 12)
        assert cap_holds(cap, given, found.rows[:reach])


@pytest.mark.parametrize(("values", "most", "within"), [(20, 60, 1000), (1900, 1, None), (60, 20, 1000)])
def test_all_searches_of_a_long_list_have_one_bound(monkeypatch, values, most, within):
    """Eight caps on 2,000 candidates: what is looked at, by all searches, does not grow with the places."""
    rng = np.random.default_rng(0)
    parts = {f"a{at}": [chr(0x4E00 + value) for value in rng.integers(0, values, 2000)] for at in range(8)}
    given = listed(rng.normal(size=2000), rng.random(2000) < 0.1, **parts)
    caps = [Cap(attribute=name, most=most, within=within) for name in parts]
    looks, fits = [], Search._fits

    def noted(self, kind):
        looks.append(kind)
        return fits(self, kind)

    monkeypatch.setattr(Search, "_fits", noted)
    found = arrange(given, Rules(caps=caps, new=NewItems(least=0.1, within=1000)), None, given.among(()))
    assert sorted(found.rows) == list(range(2000))
    assert 0 < len(looks) <= MOST_LOOKS_TO_SETTLE * 9 + MOST_LOOKS_ALTOGETHER
    reach = {line.split(" of a ")[1].split()[0]: line for line in found.lacking if " of a " in line}
    for cap in caps:
        said = reach.get(cap.attribute)
        assert cap_holds(cap, given, found.rows[: int(said.split("first ")[1].split(",")[0]) if said else within])


# Values.


def test_boosts_count_in_standard_deviations():
    given = listed([4, 2, 0], category="xyx")
    assert standardised(given.scores).tolist() == pytest.approx([1.224745, 0, -1.224745])
    assert standardised(np.array([3.0, 3.0])).tolist() == [0, 0]
    assert standardised(np.array([1e8, 1e8 + 1e-9])).tolist() == [0, 0]
    raised = [
        Boost(item_id="c", add=2.0),
        Boost(attribute="category", value="y", multiply=np.e),
        Boost(item_id="nobody", add=1.0),
        Boost(attribute="size", value="y", add=1.0),
    ]
    moved = boosted(standardised(given.scores), raised, given)
    assert moved.tolist() == pytest.approx([1.224745, 1, 0.775255])
    assert arranged(given, boost=raised)[0] == "abc"
    assert arranged(given, boost=[*raised, raised[0]])[0] == "cab"
