"""A dataset folder as baskets."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.config.data import DataConfig
from liverank.errors import DataError
from liverank.ranking.basket_stream import DAY, read_stream
from liverank.ranking.prequential_counts import RunningPopularity
from tests.ranking.baskets_world import ITEMS, START, weekly, write

DEFAULT = DataConfig()


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return read_stream(write(tmp_path_factory.mktemp("weekly"), weekly(), ITEMS), DEFAULT)


def named(stream, basket):
    return {stream.catalogue.item_ids[row] for row in basket.items}


def test_baskets_are_sessions_and_see_only_the_past(stream):
    assert len(stream.baskets) == 240
    assert all(len(basket.items) == 2 for basket in stream.baskets)
    request = stream.request(stream.baskets[45])
    assert (request.times < stream.baskets[45].time).all()
    assert len(request.history) == 4
    assert request.steps_back.tolist() == [1, 1, 0, 0]


def test_sessions_numbered_for_each_user_anew_are_told_apart(tmp_path):
    """Both users have sessions 0 to 5 and buy the same things, `b` a day after `a`."""
    lines = [
        (user, f"i{item}", 86400.0 * (2 * session + day) + line, str(session), "purchase")
        for day, user in enumerate("ab")
        for session in range(6)
        for line, item in enumerate((session, session + 1))
    ]
    stream = read_stream(write(tmp_path, lines, ITEMS), DEFAULT)
    assert len(stream.baskets) == 12
    assert len(stream.events) == 24
    assert (np.diff([basket.time for basket in stream.baskets]) > 0).all()
    for number, basket in enumerate(stream.baskets):
        session, user = divmod(number, 2)
        assert stream.events.users[basket.user] == "ab"[user]
        assert basket.time == START + 86400.0 * number
        assert named(stream, basket) == {f"i{session}", f"i{session + 1}"}
        assert len(stream.request(basket).history) == 2 * session


def test_neighbouring_users_with_the_same_single_session_have_two_baskets(tmp_path):
    lines = [(user, "i1", 0.0, "0", "purchase") for user in "ab"]
    assert len(read_stream(write(tmp_path, lines, ITEMS), DEFAULT).baskets) == 2


def test_a_session_that_goes_on_after_an_instant_is_nothing_to_learn_from_before_it(tmp_path):
    lines = [("a", "i1", 0.0, "long", "purchase"), ("a", "i2", 500.0, "long", "purchase")]
    lines += [("a", "i3", 300.0, "inside", "purchase"), ("a", "i4", 900.0, "later", "purchase")]
    lines += [("b", "i5", 200.0, None, "purchase")]
    stream = read_stream(write(tmp_path, lines, ITEMS), DEFAULT)
    long = next(basket for basket in stream.baskets if len(basket.items) == 2)
    assert (long.time, long.end) == (START, START + 500)
    assert {stream.catalogue.item_ids[row] for row in stream.before(START + 400).item} == {"i3", "i5"}
    assert len(stream.before(START + 501)) == 4
    histories = [len(stream.request(basket).history) for basket in stream.baskets]
    assert histories == [0, 0, 0, 3]  # in the order in which they are asked: long, b's, inside, later
    ((_, baskets),) = stream.days(START - START % DAY)
    assert baskets == stream.baskets


def test_popularity_counts_a_basket_once_it_has_ended(tmp_path):
    lines = [("b", "i0", -100.0, None, "purchase")]
    lines += [("a", "i1", 0.0, "long", "purchase"), ("a", "i2", 500.0, "long", "purchase")]
    stream = read_stream(write(tmp_path, lines, ITEMS), DEFAULT)
    popularity = RunningPopularity(stream, START - 50)
    popularity.add(stream.baskets[1])
    assert popularity.at(START + 500)[1:3].tolist() == [0, 0]  # what ends with the question is not known to it
    assert popularity.at(START + 501)[1:3].tolist() == pytest.approx([1, 1], abs=1e-4)


def test_without_sessions_a_users_moment_is_a_basket(tmp_path):
    lines = [(user, item, at, None, "purchase") for user in "ab" for at in (0.0, 60.0) for item in ("i1", "i2")]
    stream = read_stream(write(tmp_path, lines, ITEMS), DEFAULT)
    assert [named(stream, basket) for basket in stream.baskets] == [{"i1", "i2"}] * 4


def test_items_that_no_table_lists_are_there_without_text(tmp_path):
    lines = [("a", "i1", 0.0, "0", "purchase"), ("a", "unlisted", 1.0, "0", "purchase")]
    stream = read_stream(write(tmp_path, lines, ["i1"]), DEFAULT)
    assert named(stream, stream.baskets[0]) == {"i1", "unlisted"}
    assert stream.catalogue.texts == ("thing i1", "")


def test_weights_are_the_configurations(tmp_path):
    lines = [
        ("a", "i1", 0.0, "0", "click"),
        ("a", "i1", 1.0, "0", "purchase"),
        ("a", "i2", 2.0, "0", "click"),
        ("a", "i3", 3.0, "0", "view"),
        ("a", "i4", 4.0, "0", "dislike"),
        ("a", "i5", 5.0, "0", "rating"),
    ]
    config = DataConfig(
        event_weights={"click": 0.5, "purchase": 4.0, "view": 0.1, "dislike": -1.0},
        label_types=("click", "purchase", "dislike", "rating"),
    )
    stream = read_stream(write(tmp_path, lines, ITEMS), config)
    # A view is no label, a dislike speaks against its item, and a rating weighs nothing here.
    assert named(stream, stream.baskets[0]) == {"i1", "i2"}
    assert stream.events.weight.tolist() == [4.0, 0.5]
    assert [stream.events.types[at] for at in stream.events.type] == ["purchase", "click"]


def test_no_dataset(tmp_path):
    with pytest.raises(DataError, match=r"items\.parquet cannot be read"):
        read_stream(tmp_path, DEFAULT)


def test_nothing_that_counts(tmp_path):
    with pytest.raises(DataError, match="no interaction that makes a basket"):
        read_stream(write(tmp_path, [("a", "i1", 0.0, "0", "view")], ITEMS), DEFAULT)


def test_streams_are_told_apart_by_what_is_in_them(tmp_path):
    lines = weekly()
    other = [*lines[:-1], (*lines[-1][:1], "i3", *lines[-1][2:])]
    hashes = [
        read_stream(write(tmp_path / name, of, ITEMS), DEFAULT).hash
        for name, of in {"one": lines, "same": lines, "other": other}.items()
    ]
    assert hashes[0] == hashes[1] != hashes[2]
