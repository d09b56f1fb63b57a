"""Files in other encodings: named as far as their letters tell, with the place, and read when the encoding is set."""

from __future__ import annotations

import codecs
import json

import pytest

from liverank.config.data import SourceConfig
from liverank.data.encoding_guess import looks_like, wide
from liverank.errors import ConfigError, DataError
from tests.data.reading import read
from tests.data.writing import read_contract

GERMAN = ("Schöne Teekanne aus weißem Porzellan", "Große Schüssel für Gemüse", "Kännchen mit Löffel, süß")
FRENCH = ("Théière en céramique émaillée", "Bouilloire électrique à thermostat réglable", "Tasse à café décorée")
RUSSIAN = ("Чайник керамический белый", "Кружка для горячего кофе", "Скатерть льняная с вышивкой")
CHINESE = ("陶瓷茶壶白色", "不锈钢保温杯", "纯棉桌布")
TAIWANESE = ("陶瓷茶壺白色", "不鏽鋼保溫杯", "純棉桌布")
JAPANESE = ("陶器のティーポット", "ステンレスのマグカップ", "綿のテーブルクロスです")
KOREAN = ("도자기 찻주전자", "스테인리스 보온병", "면 식탁보 흰색")
TEXTS = [
    (GERMAN, "latin-1"),
    (GERMAN, "cp1252"),
    (FRENCH, "latin-1"),
    (FRENCH, "cp1252"),
    (RUSSIAN, "cp1251"),
    (RUSSIAN, "koi8-r"),
    (CHINESE, "gb18030"),
    (TAIWANESE, "big5"),
    (JAPANESE, "shift_jis"),
    (JAPANESE, "euc_jp"),
    (KOREAN, "euc_kr"),
]
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")


def catalogue(titles, form="csv"):
    """200 items whose titles repeat; every fifth has one beyond ASCII."""
    named = [(f"i{n}", f"{titles[n % 3]} {n}" if n % 5 == 0 else f"plain {n}") for n in range(200)]
    if form == "csv":
        return "item_id,title\n" + "".join(f'{item},"{title}"\n' for item, title in named)
    rows = ({"item_id": item, "title": title} for item, title in named)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(("titles", "encoding"), TEXTS)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_catalogue_in_another_encoding_is_named_and_read_when_it_is_set(tmp_path, titles, encoding, form):
    text = catalogue(titles, form)
    path = tmp_path / f"items.{form}"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(DataError) as caught:
        read_contract(path)
    assert f"items.{form}, line {2 if form == 'csv' else 1}, column " in str(caught.value)
    guess = looks_like(text.encode(encoding))
    # The best guess gives these letters, or says that it is one of several of which one does.
    right = [name for name in guess.names if text.encode(encoding).decode(name, "replace") == text]
    assert right
    assert right[0] == guess.names[0] or not guess.sure
    assert right[0] in str(caught.value)
    items = read_contract(path, encoding=right[0]).tables["items"].to_pylist()
    assert {item["title"] for item in items if item["item_id"] in ("i0", "i5", "i10")} == {
        f"{titles[n % 3]} {n}" for n in (0, 5, 10)
    }


@pytest.mark.parametrize("titles", [GERMAN, RUSSIAN, CHINESE, JAPANESE])
@pytest.mark.parametrize("encoding", WIDE)
def test_wide_text_with_and_without_a_mark(tmp_path, titles, encoding):
    path = tmp_path / "items.csv"
    path.write_bytes(catalogue(titles).encode(encoding))
    with pytest.raises(DataError, match=f"line 1 is not UTF-8; the file looks like {encoding}"):
        read_contract(path)
    assert read_contract(path, encoding=encoding).tables["items"].num_rows == 200


def test_most_are_told_with_confidence():
    sure = {encoding for titles, encoding in TEXTS if looks_like(catalogue(titles).encode(encoding)).sure}
    assert sure >= {"cp1251", "koi8-r", "big5", "shift_jis", "gb18030", "euc_kr"}


def test_what_few_letters_cannot_tell_is_not_claimed(tmp_path):
    path = tmp_path / "items.csv"
    path.write_bytes("item_id,title\na,José\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"line 2, column 6 is not UTF-8; the file may be in .*cp1252") as caught:
        read_contract(path)
    assert "Ask whoever wrote the file" in caught.value.hint


def test_zeros_in_a_file_are_no_utf_16():
    assert wide(b"item_id,title\na,Tea" + bytes(4000)) is None
    assert wide(b"item_id,title\na,T\x00a\n") is None


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_wrong_encoding_setting_names_line_and_column(tmp_path, end):
    path = tmp_path / "items.csv"
    path.write_bytes(f"item_id,title{end}a,茶壶{end}b,x".encode("gb18030") + b"\xff\xff" + f"y{end}".encode())
    with pytest.raises(DataError, match=r"items\.csv, line 3, column 4 is not gb18030"):
        read_contract(path, encoding="gb18030")
    path.write_bytes(codecs.BOM_UTF16_LE + f"item_id,title{end}a,b".encode("utf-16-le") + b"\x00")
    with pytest.raises(DataError, match=r"items\.csv, line 2, column 4 is not utf-16"):
        read_contract(path, encoding="utf-16")


def test_the_setting_is_kept_as_python_names_it():
    assert SourceConfig(encoding="Windows-1251").encoding == "cp1251"


FEEDBACK = {"FeedbackType": "star", "UserId": "José", "ItemId": "é", "Timestamp": "2024-05-06T07:08:09Z"}
REVIEW = {"reviewerID": "José", "asin": "B1", "overall": 5, "unixReviewTime": 1252800000}
FORMATS = [
    ("gorse", "feedback.jsonl", json.dumps(FEEDBACK, ensure_ascii=False)),
    ("amazon", "reviews.json", json.dumps(REVIEW, ensure_ascii=False)),
    ("personalize", "interactions.csv", "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nJosé,a,1252800000,click"),
]


@pytest.mark.parametrize(("name", "file", "text"), FORMATS)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_formats_heed_the_encoding_and_refuse_what_is_not_utf_8(tmp_path, name, file, text, encoding):
    path = tmp_path / file
    path.write_bytes(f"{text}\n".encode(encoding))
    (event,) = read(path, format=name, encoding=encoding).tables["interactions"].to_pylist()
    assert event["user_id"] == "José"
    assert read(path, encoding=encoding).tables["interactions"].num_rows == 1
    with pytest.raises(DataError, match=r"is not UTF-8|holds no"):
        read(path, format=name)


@pytest.mark.parametrize(("encoding", "notes"), [("latin-1", 1), ("utf-8", 0)])
def test_movies_are_in_latin_1_where_they_are_not_utf_8_and_it_is_said(tmp_path, encoding, notes):
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n")
    (tmp_path / "movies.dat").write_bytes("10::Léon (1994)::Crime\n".encode(encoding))
    found = read(tmp_path)
    assert found.tables["items"].column("title").to_pylist()[0].startswith("Léon")
    assert sum("movies.dat is not UTF-8: it was read as Latin-1" in note for note in found.notes) == notes


@pytest.mark.parametrize(
    ("key", "value"), [("queries", {"items": "select 1"}), ("mapping", {"items": {"item_id": "x"}})]
)
def test_a_key_that_a_format_does_not_heed_is_refused(tmp_path, key, value):
    (tmp_path / "feedback.jsonl").write_text(json.dumps(FEEDBACK) + "\n")
    with pytest.raises(ConfigError, match=rf"data\.{key} is set, and the format gorse"):
        read(tmp_path, format="gorse", **{key: value})
