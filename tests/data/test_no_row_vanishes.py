"""Whatever stands in a file, each of its lines becomes a row or is set aside with its place: the formats' promise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverank.config.data import SourceConfig
from liverank.data.collect import collect
from liverank.data.sources.registry import format_of
from tests.data.reading import json_lines, lines, read, told

REVIEW = {"reviewerID": "A1", "asin": "B1", "overall": 5, "unixReviewTime": 1252800000}
RANKING = {"event": "ranking", "id": "r", "timestamp": 1, "user": "u", "items": [{"id": "i"}]}
FEEDBACK = {"FeedbackType": "star", "UserId": "u", "ItemId": "i", "Timestamp": "2024-05-06T07:08:09Z"}
DECISION = {
    "_label_cost": 0, "_label_probability": 0.5, "_labelIndex": 0, "Timestamp": "2021-02-04T16:31:29Z", "EventId": "e",
    "c": {"_multi": [{"_tag": "a"}]},
}  # fmt: skip
FILES = {
    "movielens": ("ratings.dat", "1::10::5::978300760", "interactions"),
    "mind": ("behaviors.tsv", "1\tU1\t11/15/2019 9:05:06 PM\t\tN3-0 N4-0", "impressions"),
    "amazon": ("reviews.json", json.dumps(REVIEW), "interactions"),
    "metarank": ("events.jsonl", json.dumps(RANKING), "impressions"),
    "gorse": ("feedback.jsonl", json.dumps(FEEDBACK), "interactions"),
    "personalizer": ("log.json", json.dumps(DECISION), "impressions"),
}
"""Format -> a file's name, a good line of it, and the table that the line belongs to."""

# Anything that is one line: mutilated good ones are the likelier kind of dirt.
words = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=30
)


@st.composite
def dirty(draw, good):
    """A good line with a piece replaced by anything, or anything at all."""
    if draw(st.booleans()):
        return draw(words)
    start, end = sorted((draw(st.integers(0, len(good))), draw(st.integers(0, len(good)))))
    return good[:start] + draw(words) + good[end:]


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=60)
def test_each_line_is_a_row_or_set_aside(tmp_path_factory, name, data):
    file, good, table = FILES[name]
    texts = [good, *data.draw(st.lists(dirty(good), max_size=12))]
    source = lines(tmp_path_factory.mktemp("dirt") / file, *texts)
    found = collect(format_of(SourceConfig(source=str(source))).read(SourceConfig(source=str(source), timezone="UTC")))
    filled = [number for number, text in enumerate(texts, 1) if text and not text.isspace()]
    aside = found.rejected.to_pylist()
    if name == "metarank":
        # A line of another kind of event belongs to another table; a ranking that became one is counted here.
        rows = sum(found.rows()[kind] for kind in ("impressions", "interactions")) + _told_items(texts)
        assert rows + len(aside) == len(filled)
    else:
        assert found.rows()[table] + len(aside) == len(filled)
    assert {row["line"] for row in aside} <= set(filled)
    assert len({row["line"] for row in aside}) == len(aside)
    assert all(row["reason"] and row["row"] for row in aside)


def _told_items(texts):
    """Lines that tell of an item or a user, of which several make one row."""
    count = 0
    for text in texts:
        try:
            event = json.loads(text)
        except ValueError:
            continue
        count += (
            isinstance(event, dict)
            and event.get("event") in ("item", "metadata", "user")
            and bool(event.get(event["event"]))
        )
    return count


@pytest.mark.parametrize("name", FILES)
def test_formats_are_told_apart(tmp_path, name):
    file, good, _ = FILES[name]
    assert told(lines(tmp_path / file, good)) == name


def test_a_store_that_fsspec_knows(tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/shelf/ml/ratings.dat", b"1::10::5::978300760\n")
    store.pipe("/shelf/ml/movies.dat", b"10::Heat (1995)::Action\n")
    for source in ("memory://shelf/ml", "memory://shelf/ml/ratings.dat"):
        found = read(source)
        assert (found.rows()["interactions"], found.tables["items"]["title"].to_pylist()) == (1, ["Heat (1995)"])
    store.rm("/shelf", recursive=True)


def test_a_file_that_is_cut_off_is_an_error_with_its_name(tmp_path):
    from liverank.errors import DataError

    source = json_lines(tmp_path / "reviews.json.gz", *[{**REVIEW, "asin": f"B{n}"} for n in range(5000)])
    source.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"reviews\.json\.gz"):
        read(source)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_first_line_hides_nothing(tmp_path, name):
    file, good, table = FILES[name]
    source = lines(tmp_path / file, '{"cut": ', good)
    found = read(source, timezone="UTC")
    assert (told(source), found.rows()[table], found.rows()["rejected"]) == (name, 1, 1)
    assert found.rejected["line"].to_pylist() == [1]
