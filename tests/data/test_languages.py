"""Languages of titles: told where they are sure, left undetermined where they are not, whatever the characters."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liverank.data.languages import MOST_CHARACTERS, NAMES, UNDETERMINED, language, languages, sample


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Red running shoes for women", "en"),
        ("CHRISTMAS LIGHTS, WARM WHITE", "en"),
        ("Gartenstuhl mit Kissen", "de"),
        ("Guirlande lumineuse de Noël", "fr"),
        ("Auriculares inalámbricos con cancelación de ruido", "es"),
        ("Giocattoli in legno per bambini", "it"),
        ("Brinquedos de madeira para crianças", "pt"),
        ("Draadloze koptelefoon met ruisonderdrukking", "nl"),
        ("Беспроводные наушники с шумоподавлением", "ru"),
        ("Дерев'яні іграшки для дітей", "uk"),
        ("女士红色跑步鞋", "zh"),
        ("レディース 赤いランニングシューズ", "ja"),
        ("빨간 운동화", "ko"),
        ("مصباح أحمر للقراءة", "ar"),
        ("מנורת שולחן אדומה", "he"),
        ("🔥 Rote Laufschuhe für Damen 🔥", "de"),
    ],
)
def test_a_title_that_says_its_language(text: str, code: str) -> None:
    assert language(text) == code
    assert code in NAMES


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "12 / 34", "XL", "🔥🔥🛋️", "\u202e\u200f", "\ud800", "a\x00b", "e\u0301"),
        *("iPhone 15 Pro 256GB", "Nike Air Max 90", "LEGO 75192", "B07XJ8C8F5", "Grand Theft Auto V", "Half-Life 2"),
    ],
)
def test_what_says_no_language_is_undetermined(text: str) -> None:
    assert language(text) == UNDETERMINED


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_any_text_has_a_known_language_or_none_and_the_same_each_time(text: str) -> None:
    told = language(text)
    assert told == UNDETERMINED or told in NAMES
    assert told == language(text)


def test_only_the_beginning_is_read() -> None:
    german = "Rote Laufschuhe für Damen und Herren, leicht und bequem auf jedem Weg. " * 3
    assert language(german[:MOST_CHARACTERS] + "红色跑步鞋" * 500) == "de"


def test_languages_are_counted_the_most_frequent_first() -> None:
    found = languages(["XL", "Rote Laufschuhe für Damen", "Gartenstuhl mit Kissen", "女士红色跑步鞋"])
    assert list(found.items()) == [("de", 2), ("", 1), ("zh", 1)]
    assert not languages([])


def catalogue(rows: int, **changed: str) -> pa.Table:
    names = [f"i{n}" for n in range(rows)]
    columns = {"item_id": names, "title": [f"title {n}" for n in range(rows)], "text": [None] * rows, **changed}
    return pa.table(columns).cast(pa.schema([(name, pa.string()) for name in columns]))


def sampled(items: pa.Table, most: int, threads: int = 2) -> list[tuple[str, str]]:
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("items", items)
        return connection.execute(sample("items", most)).fetchall()


def test_the_sample_is_bounded_and_the_same_whatever_the_order_of_the_rows() -> None:
    items = catalogue(5_000)
    first = sampled(items, 100)
    assert len(first) == len(dict(first)) == 100
    backwards = items.take(list(range(4_999, -1, -1)))
    assert sampled(backwards, 100, threads=1) == first
    # More items change only the part of the sample that they take.
    assert len({*first} & {*sampled(catalogue(5_500), 100)}) >= 80
    assert sampled(catalogue(0), 100) == []


def test_an_id_that_repeats_does_not_make_the_sample_larger() -> None:
    items = pa.table({"item_id": ["i"] * 50, "title": [f"t{n}" for n in range(50)], "text": ["x" * 900] * 50})
    found = sampled(items, 10)
    assert len(found) == 10
    assert {len(words) for _, words in found} == {MOST_CHARACTERS}


def test_the_model_comes_with_the_package_and_is_loaded_only_when_asked() -> None:
    code = (
        "import sys, socket\n"
        "from liverank.data import languages\n"
        "assert 'py3langid' not in sys.modules\n"
        "def refused(*given, **named): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = refused\n"
        "print(languages.language('Rote Laufschuhe für Damen'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "de"
