"""Small lists at random, what a rule says of a list, and every list there is: what the algorithms are held against."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from liverank.shaping.listed import Listed
from liverank.shaping.rules import Cap, NewItems, Pin, Rules


def listed(scores, is_new=None, vectors=None, **attributes):
    """Candidates `a`, `b`, ... with these scores; attributes as strings of one letter a candidate, `.` for none."""
    ids = [chr(ord("a") + at) if at < 26 else f"i{at}" for at in range(len(scores))]
    values = {name: [one.replace(".", "") for one in text] for name, text in attributes.items()}
    fresh = np.asarray([False] * len(scores) if is_new is None else is_new, bool)
    return Listed(
        ids,
        np.asarray(scores, np.float32),
        lambda name: values.get(name, ()),
        lambda: fresh,
        None if vectors is None else lambda: np.asarray(vectors, np.float32),
    )


def shown(found, given):
    """The ids of an arranged list, in one string."""
    return "".join(given.item_ids[row] for row in found.rows)


@st.composite
def problems(draw, caps=2, most=6, pins=True):
    """Candidates, rules, what is excluded and `k`, few enough to try every list."""
    size = draw(st.integers(1, most))
    given = listed(
        draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)),
        draw(st.lists(st.booleans(), min_size=size, max_size=size)),
        category="".join(draw(st.lists(st.sampled_from("xyz."), min_size=size, max_size=size))),
        brand="".join(draw(st.lists(st.sampled_from("pq."), min_size=size, max_size=size))),
    )
    window = st.none() | st.integers(1, size + 1)
    cap = st.builds(Cap, attribute=st.sampled_from(["category", "brand"]), most=st.integers(1, 2), within=window)
    new = st.builds(NewItems, least=st.sampled_from([0.1, 0.34, 0.5, 1.0]), within=window)
    pin = st.builds(Pin, item_id=st.sampled_from(given.item_ids), position=st.none() | st.integers(1, size))
    pinned = draw(st.lists(pin, max_size=2 if pins else 0, unique_by=lambda one: one.item_id))
    rules = Rules(
        pin=pinned, caps=draw(st.lists(cap, max_size=caps)), new=draw(new) if draw(st.integers(0, 3)) else None
    )
    excluded = np.array(draw(st.lists(st.sampled_from([False, False, True]), min_size=size, max_size=size)), bool)
    return given, rules, excluded, draw(st.none() | st.integers(1, size))


def cap_holds(cap, given, rows, but=()):
    """Whether a list keeps a cap; a value that pins alone (`but`) bring over it may have these and no more."""
    codes = given.codes(cap.attribute)
    head = rows[: cap.within or len(rows)]
    for value in set(codes[head].tolist()) - {-1}:
        allowed = max(cap.most, sum(codes[row] == value for row in head if row in but))
        if sum(codes[row] == value for row in head) > allowed:
            return False
    return True


def new_holds(new, given, rows):
    """Whether a list has its minimum of new items."""
    head = rows[: new.within or len(rows)]
    return sum(given.is_new()[head]) >= math.ceil(new.least * len(head) - 1e-9)


def holds(rules, given, rows, but=()):
    """Whether caps and minimum hold."""
    kept = all(cap_holds(cap, given, rows, but) for cap in rules.caps)
    return kept and (rules.new is None or new_holds(rules.new, given, rows))


def every_list(rows, length, pins):
    """All lists of that length from `rows` with pinned rows on their positions (from 1) and nowhere else."""
    free = [row for row in rows if row not in pins.values()]
    places = [place for place in range(1, length + 1) if place not in pins]
    for choice in itertools.permutations(free, len(places)):
        at = dict(zip(places, choice, strict=True)) | pins
        yield [at[place] for place in range(1, length + 1)]


def best_list(rules, given, rows, length, pins):
    """The first list that holds the rules, trying the best candidates first at every position; None where none does."""
    order = sorted((row for row in rows if row not in pins.values()), key=lambda row: (-given.scores[row], row))

    def end(head):
        if len(head) == length:
            return head if holds(rules, given, head, pins.values()) else None
        place = len(head) + 1
        for row in [pins[place]] if place in pins else [row for row in order if row not in head]:
            found = end([*head, row])
            if found is not None:
                return found
        return None

    return end([])


def random_problem(rng, caps):
    """As `problems`, of seven candidates at most; denser in those that are tight."""
    size = int(rng.integers(3, 8))
    given = listed(
        rng.integers(-3, 4, size),
        rng.random(size) < rng.choice([0.2, 0.5, 0.8]),
        category="".join(rng.choice(list("xxyz."), size)),
        brand="".join(rng.choice(list("pq."), size)),
    )

    def window():
        return None if rng.random() < 0.2 else int(rng.integers(1, size + 1))

    names = rng.choice(["category", "brand"], int(rng.integers(0, caps + 1))).tolist()
    limits = [Cap(attribute=name, most=int(rng.integers(1, 3)), within=window()) for name in names]
    new = NewItems(least=float(rng.choice([0.2, 0.34, 0.5, 1])), within=window()) if rng.random() < 0.8 else None
    pinned = rng.choice(given.item_ids, int(rng.choice([0, 0, 1, 2])), replace=False).tolist()
    pins = [
        Pin(item_id=item, position=None if rng.random() < 0.3 else int(rng.integers(1, size + 1))) for item in pinned
    ]
    k = None if rng.random() < 0.5 else int(rng.integers(1, size + 1))
    return given, Rules(pin=pins, caps=limits, new=new), rng.random(size) < 0.1, k
