"""What was made of texts seen lately is made once, and the texts seen longest ago go first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liverank.recent_texts import RecentTexts


def test_each_text_is_made_once() -> None:
    asked: list[list[str]] = []

    def lengths(texts: list[str]) -> list[int]:
        asked.append(texts)
        return [len(text) for text in texts]

    recent = RecentTexts[int]()
    assert recent.made(["b", "aaa", "b"], lengths) == [1, 3, 1]
    assert recent.made(["cc", "aaa"], lengths) == [2, 3]
    assert recent.made([], lengths) == []
    assert asked == [["b", "aaa"], ["cc"]]
    assert recent.known(["aaa", "d"]) == {"aaa": 3}


def test_another_one_s_stand_behind_its_own() -> None:
    recent, other = RecentTexts[str](3), RecentTexts[str](3)
    recent.add({"a": "mine", "b": "mine"})
    other.add({"a": "theirs", "c": "theirs", "d": "theirs"})
    recent.share(other)
    assert recent.known("abcd") == {"a": "mine", "b": "mine", "d": "theirs"}
    assert other.known("abcd") == {"a": "theirs", "c": "theirs", "d": "theirs"}


def test_long_texts_leave_room_for_few() -> None:
    recent = RecentTexts[int](most=100, characters=10)
    for text in ("a" * 4, "b" * 4, "c" * 4, "b" * 4):
        recent.made([text], lambda texts: map(len, texts))
    assert recent.known(["a" * 4, "b" * 4, "c" * 4]) == {"b" * 4: 4, "c" * 4: 4}
    assert recent.made(["d" * 11], lambda texts: map(len, texts)) == [11]
    assert recent.known(["b" * 4, "d" * 11]) == {}
    assert recent.made(["e" * 10], lambda texts: map(len, texts)) == [10]
    assert recent.known(["e" * 10]) == {"e" * 10: 10}


@given(st.integers(1, 5), st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True), max_size=12))
def test_those_seen_last_stay(most: int, calls: list[list[str]]) -> None:
    recent, order = RecentTexts[str](most), list[str]()
    for texts in calls:
        found = recent.known(texts)
        assert recent.made(texts, lambda missing: [text.upper() for text in missing]) == [t.upper() for t in texts]
        # As one after the other: the known ones of a call first, then what it brought.
        latest = [text for text in texts if text in found] + [text for text in texts if text not in found]
        order = [text for text in order if text not in texts] + latest
        assert set(recent.known("abcdefgh")) == set(order[-most:])
