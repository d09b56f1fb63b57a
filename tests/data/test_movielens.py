"""MovieLens in each layout it has had: what is read, what is said, and that no rating is lost."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from liverank.errors import DataError
from tests.conftest import real_data
from tests.data.reading import at, lines, read, refused, rows, told

RATINGS = [
    ("1", "10", "rating", 5.0, at(2000, 12, 31, 22, 12, 40)),
    ("2", "11", "rating", 3.0, at(2000, 12, 31, 22, 35, 9)),
]
EVENT = ("user_id", "item_id", "type", "value", "timestamp")


def test_the_layout_of_1m_and_10m(tmp_path):
    lines(tmp_path / "ratings.dat", "1::10::5::978300760", "2::11::3::978302109")
    lines(tmp_path / "movies.dat", "10::Amélie (2001)::Comedy|Romance", "11::Nobody::", encoding="latin-1")
    lines(tmp_path / "users.dat", "1::F::25::10::48067")
    lines(tmp_path / "README", "words")
    assert told(tmp_path) == "movielens"
    found = read(tmp_path)
    assert rows(found, "interactions", *EVENT) == RATINGS
    assert rows(found, "items", "item_id", "title", "category", "attributes") == [
        ("10", "Amélie (2001)", "Comedy", [("genres", "Comedy|Romance"), ("year", "2001")]),
        ("11", "Nobody", "", []),
    ]
    assert dict(rows(found, "users", "user_id", "attributes")[0][1]) == {
        "gender": "F", "age": "25", "occupation": "10", "zip": "48067",
    }  # fmt: skip
    assert "Not read, for they hold no further rating: README." in found.notes


def test_the_layout_of_100k(tmp_path):
    lines(tmp_path / "u.data", "1\t10\t5\t978300760", "2\t11\t3\t978302109")
    flags = ["0"] * 19
    flags[5] = flags[14] = "1"
    item = ["10", "Toy Story (1995)", "01-Jan-1995", "", "http://us.imdb.com/x", *flags]
    lines(tmp_path / "u.item", "|".join(item), "11|short")
    lines(tmp_path / "u.user", "1|24|M|technician|85711")
    lines(tmp_path / "u1.base", "1\t10\t5\t978300760")
    found = read(tmp_path)
    assert rows(found, "interactions", *EVENT) == RATINGS
    assert rows(found, "items", "title", "text", "category") == [("Toy Story (1995)", "Romance", "Comedy")]
    assert dict(found.tables["items"]["attributes"][0].as_py()) == {
        "genres": "Comedy|Romance", "year": "1995", "release_date": "01-Jan-1995",
    }  # fmt: skip
    assert ("age", "24") in found.tables["users"]["attributes"][0].as_py()
    assert refused(found) == [("items", "u.item", 2, "has 2 fields, which is no row of u.item")]
    assert any("u1.base" in note for note in found.notes)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_layout_of_25m_and_32m(tmp_path, suffix):
    lines(
        tmp_path / f"ratings.csv{suffix}", "userId,movieId,rating,timestamp", "1,10,5.0,978300760", "2,11,3.0,978302109"
    )
    lines(
        tmp_path / f"movies.csv{suffix}",
        "movieId,title,genres",
        '10,"Matrix, The (1999)",Action|Sci-Fi',
        "11,X,(no genres listed)",
    )
    lines(tmp_path / "tags.csv", "userId,movieId,tag,timestamp", "1,10,fun,978300760")
    found = read(tmp_path)
    assert rows(found, "interactions", *EVENT) == RATINGS
    assert rows(found, "items", "title", "text", "category") == [
        ("Matrix, The (1999)", "Sci-Fi", "Action"),
        ("X", "", ""),
    ]
    assert "Not read, for they hold no further rating: tags.csv." in found.notes
    assert not found.rejected.num_rows


def test_every_line_is_a_rating_or_set_aside_with_its_place(tmp_path):
    texts = ["1::10::5::978300760", "broken", "", "1::11::five::978300760", "1::12::4::soon", "2::11::3::978302109"]
    found = read(lines(tmp_path / "ratings.dat", *texts))
    assert rows(found, "interactions", *EVENT) == RATINGS
    assert refused(found) == [
        ("interactions", "ratings.dat", 2, "is not user, movie, rating and time"),
        ("interactions", "ratings.dat", 4, "its rating or its time is no number"),
        ("interactions", "ratings.dat", 5, "its rating or its time is no number"),
    ]


def test_a_file_of_pairs_gets_times_and_titles(tmp_path):
    source = lines(tmp_path / "ml-1m_sas.txt.gz", "1 1", "1 2", "2 2", "2 x")
    lines(tmp_path / "sas_to_original_items.txt", "1 1198", "2 3552")
    lines(tmp_path / "sas_to_original_users.txt", "1 77", "2 78")
    lines(
        tmp_path / "movies.dat", "1198::Raiders (1981)::Action", "3552::Caddyshack (1980)::Comedy", "5::Unseen::Drama"
    )
    lines(tmp_path / "users.dat", "77::F::25::10::48067")
    found = read(source)
    assert rows(found, "interactions", "user_id", "item_id", "timestamp", "value") == [
        ("1", "1", at(2000, 1, 1, 0, 0, 0), 1.0),
        ("1", "2", at(2000, 1, 1, 0, 0, 1), 1.0),
        ("2", "2", at(2000, 1, 1, 0, 0, 0), 1.0),
    ]
    assert rows(found, "items", "item_id", "title") == [("1", "Raiders (1981)"), ("2", "Caddyshack (1980)")]
    assert rows(found, "users", "user_id")[0] == ("1",)
    assert {entry[:3] for entry in refused(found)} == {
        ("interactions", "ml-1m_sas.txt.gz", 4),
        ("items", "movies.dat", 3),
    }
    assert any("no times" in note for note in found.notes)
    assert any("no stars" in note for note in found.notes)


def test_the_same_ratings_twice_are_refused(tmp_path):
    lines(tmp_path / "ml-1m_sas.txt", "1 1")
    pq.write_table(pa.table({"user_id": [1], "pos": [0], "movie_id": [1198]}), tmp_path / "ml-1m_sequences.parquet")
    with pytest.raises(DataError, match="holds the ratings more than once"):
        read(tmp_path)


def test_the_sas_file_as_it_is_published():
    found = read(real_data("ml-1m/ml-1m_sas.txt.gz"))
    assert found.rows() == {"items": 3_416, "users": 6_040, "impressions": 0, "interactions": 999_611, "rejected": 467}
    assert set(pc.unique(found.rejected["reason"]).to_pylist()) == {"nobody rated it in the file of sequences"}
    assert pc.count_distinct(found.tables["interactions"]["user_id"]).as_py() == 6_040
    assert pc.count_distinct(found.tables["interactions"]["event_id"]).as_py() == 999_611
    assert pc.min(pc.utf8_length(found.tables["items"]["title"])).as_py() > 1


def test_all_ratings_as_sequences():
    found = read(real_data("ml-1m/ml-1m_sequences.parquet"))
    assert found.rows() == {"items": 3_883, "users": 6_040, "impressions": 0, "interactions": 1_000_209, "rejected": 0}


def test_the_small_set_with_times():
    found = read(real_data("amazon-llamarec/ml100k_interactions.parquet"))
    assert found.rows()["interactions"] == 90_274
    assert found.rows()["rejected"] == 0
    assert pc.min(found.tables["interactions"]["timestamp"]).as_py().year == 1996
    assert set(pc.unique(found.tables["interactions"]["value"]).to_pylist()) <= {half / 2 for half in range(1, 11)}
