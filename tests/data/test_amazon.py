"""Amazon's reviews of three releases, their products, and the sequences made of them."""

from __future__ import annotations

import pyarrow.compute as pc
import pytest

from tests.conftest import real_data
from tests.data.reading import at, json_lines, lines, read, reasons, refused, rows, told

OLD = {
    "reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "reviewerName": "J. McDonald", "helpful": [2, 3],
    "reviewText": "I bought this.", "overall": 5.0, "summary": "Heavenly", "unixReviewTime": 1252800000,
    "reviewTime": "09 13, 2009",
}  # fmt: skip
RECENT = {
    "rating": 4.0, "title": "Nice", "text": "Works.", "images": [], "asin": "B0719KWG8H", "parent_asin": "B07EJYMQQ5",
    "user_id": "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ", "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True,
}  # fmt: skip
EVENT = ("user_id", "item_id", "type", "value", "timestamp", "context")


def test_reviews_of_2014_and_2018(tmp_path):
    of_2018 = {**OLD, "verified": True, "vote": "1,234", "style": {"Size:": " L"}, "image": ["x"]}
    as_text = {**OLD, "asin": "B1", "verified": "False", "overall": 1}
    source = json_lines(tmp_path / "reviews_Games_5.json.gz", OLD, of_2018, as_text)
    assert told(source) == "amazon"
    found = read(source)
    assert rows(found, "interactions", *EVENT) == [
        ("A2SUAM1J3GNN3B", "0000013714", "rating", 5.0, at(2009, 9, 13), []),
        ("A2SUAM1J3GNN3B", "0000013714", "rating", 5.0, at(2009, 9, 13), [("verified", "true")]),
        ("A2SUAM1J3GNN3B", "B1", "rating", 1.0, at(2009, 9, 13), [("verified", "false")]),
    ]


def test_reviews_of_2023_have_milliseconds_and_a_parent(tmp_path):
    found = read(json_lines(tmp_path / "Games.jsonl", RECENT))
    user, item = "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ", "B07EJYMQQ5"
    assert rows(found, "interactions", *EVENT) == [
        (user, item, "rating", 4.0, at(2020, 5, 5, 14, 8, 48, 923000), [("verified", "true")])
    ]


def test_ratings_only_files_of_2023(tmp_path):
    texts = ("user_id,parent_asin,rating,timestamp", "u,B1,5.0,1588687728923", "v,B2,x,1588687728923")
    found = read(lines(tmp_path / "Games.csv", *texts))
    assert rows(found, "interactions", *EVENT[:5]) == [("u", "B1", "rating", 5.0, at(2020, 5, 5, 14, 8, 48, 923000))]
    assert refused(found) == [("interactions", "Games.csv", 3, "is not user, product, rating and time")]


@pytest.mark.parametrize(
    ("texts", "column"),
    [
        (("A2SUAM1J3GNN3B,0000013714,5.0,1252800000", "A1X,B000000001,x,1252800000"), "first"),
        (("0000013714,A2SUAM1J3GNN3B,5.0,1252800000", "B000000001,A1X,5.0,soon"), "second"),
    ],
)
def test_ratings_only_files_of_2014_and_2018(tmp_path, texts, column):
    found = read(lines(tmp_path / "ratings_Games.csv", *texts))
    event = ("A2SUAM1J3GNN3B", "0000013714", "rating", 5.0, at(2009, 9, 13))
    assert rows(found, "interactions", *EVENT[:5]) == [event]
    assert refused(found) == [("interactions", "ratings_Games.csv", 2, "is not user, product, rating and time")]
    assert f"ratings_Games.csv has no header: its {column} column is taken for the user." in found.notes


def test_reviews_that_say_too_little_are_set_aside(tmp_path):
    without = {name: value for name, value in OLD.items() if name != "unixReviewTime"}
    texts = [OLD, without, '{"reviewerID": "A2", "asin": ', {**OLD, "reviewerID": ""}, {**OLD, "overall": "five"}]
    found = read(json_lines(tmp_path / "r.jsonl", *texts))
    assert found.rows()["interactions"] == 1
    assert sorted((line, reason.split(":")[0]) for _, _, line, reason in refused(found)) == [
        (2, "has no time"),
        (3, "is not a JSON object of this format"),
        (4, "has no reviewer"),
        (5, "is not a JSON object of this format"),
    ]


PRODUCT_2014 = (
    "{'asin': '0000013714', 'title': 'Girls Ballet &amp; Tutu', 'description': \"It's pink\", 'price': 3.17, "
    "'brand': 'Coxlures', 'categories': [['Sports & Outdoors', 'Other Sports', 'Dance']], "
    "'salesRank': {'Toys': 211836}}"
)


def test_products_of_three_releases(tmp_path):
    of_2018 = {
        "asin": "B1", "title": "Pad", "feature": ["Botiquecutie", "TM"], "description": ["A pad", ""],
        "price": "$1,299.00", "category": ["Video Games", "PC"], "brand": "X",
    }  # fmt: skip
    of_2023 = {
        "parent_asin": "B2", "main_category": "Video Games", "title": "Mouse", "features": ["Fast"],
        "description": ["Small", "Black"], "price": "from 14.99", "store": "Logi", "categories": ["Games", "Mice"],
        "average_rating": 4.1, "details": {"Weight": "1"},
    }  # fmt: skip
    json_lines(tmp_path / "reviews.json", OLD)
    json_lines(
        tmp_path / "meta_games.json", PRODUCT_2014, of_2018, of_2023, "{'asin': __import__('os')}", {"title": "x"}
    )
    found = read(tmp_path)
    assert rows(found, "items", "item_id", "title", "text", "category") == [
        ("0000013714", "Girls Ballet & Tutu", "It's pink", "Sports & Outdoors"),
        ("B1", "Pad", "A pad\nBotiquecutie\nTM", "Video Games"),
        ("B2", "Mouse", "Small\nBlack\nFast", "Video Games"),
    ]
    assert [dict(pairs) for (pairs,) in rows(found, "items", "attributes")] == [
        {"price": "3.17", "brand": "Coxlures", "categories": "Sports & Outdoors|Other Sports|Dance"},
        {"price": "1299.00", "brand": "X", "categories": "Video Games|PC"},
        {"price_text": "from 14.99", "brand": "Logi", "categories": "Games|Mice"},
    ]
    assert reasons(found) == {"is neither JSON nor a Python literal: ValueError": 1, "has no asin": 1}
    assert "meta_games.json: 1 lines are Python literals and no JSON, as in the release of 2014." in found.notes


def test_the_games_as_llamarec_uses_them():
    found = read(real_data("amazon-llamarec/games_interactions.parquet"))
    assert found.rows() == {"items": 7_676, "users": 0, "impressions": 0, "interactions": 147_861, "rejected": 0}
    assert pc.count_distinct(found.tables["interactions"]["user_id"]).as_py() == 15_264
    assert pc.min(pc.utf8_length(found.tables["items"]["title"])).as_py() > 0
    splits = {dict(pairs)["split"] for pairs in found.tables["interactions"]["context"].to_pylist()}
    assert {"train", "test"} <= splits
