"""`liverank data inspect`: what a source is taken for, and what is shown of it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank.config.data import SourceConfig
from liverank.data.column_guess import guess_table
from liverank.data.inspect import inspect_source
from liverank.errors import ConfigError, DataError
from tests.conftest import real_data
from tests.data.inspecting import TIME, run
from tests.data.reading import json_lines, lines, read, rows


def guessed(header, *texts, stem="log"):
    rows = [text.split(",") for text in texts]
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(header.split(","))})
    guess = guess_table(table, stem)
    return guess and (guess.table, {entry.field: entry.column for entry in guess.guesses})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("userId,movieId,createdAt,rating", ("userId", "movieId", "createdAt")),
        ("Kunden-Nr.,Artikelnummer,Zeitpunkt,Menge", ("Kunden-Nr.", "Artikelnummer", "Zeitpunkt")),
        ("ID_Usuario,ID_Producto,Fecha,Cantidad", ("ID_Usuario", "ID_Producto", "Fecha")),
        ("id_utilisateur,id_produit,horodatage,quantité", ("id_utilisateur", "id_produit", "horodatage")),
        ("用户ID,商品ID,时间,数量", ("用户ID", "商品ID", "时间")),
        ("ユーザーID,商品ID,日時,数量", ("ユーザーID", "商品ID", "日時")),
        ("пользователь,товар,дата,количество", ("пользователь", "товар", "дата")),
        ("사용자ID,상품ID,시간,수량", ("사용자ID", "상품ID", "시간")),
    ],
)
def test_columns_are_told_by_their_names_in_several_languages(header, expected):
    table, found = guessed(header, f"1,a,{TIME},3", f"2,b,{TIME},1")
    assert table == "interactions"
    assert (found["user_id"], found["item_id"], found["timestamp"]) == expected
    assert found["value"] == header.split(",")[3]


def test_a_name_is_not_believed_against_the_values():
    _, found = guessed("user,item,date,when_it_was,score", *(f"{n},{n},monday,170000000{n},high" for n in range(3)))
    assert found["timestamp"] == "when_it_was"
    assert "value" not in found


def test_nameless_columns_are_told_by_their_values():
    texts = [f"u{n % 7},i{n % 5},{('pv', 'buy')[n % 2]},{1_700_000_000_000 + n}" for n in range(40)]
    assert guessed("a,b,c,d", *texts) == (
        "interactions",
        {"timestamp": "d", "type": "c", "user_id": "a", "item_id": "b"},
    )


def test_an_account_is_the_user_and_a_country_is_nobody():
    rows = [f"{('de', 'fr', 'it')[n % 3]},a{n % 9},i{n % 5},{1_700_000_000 + n}" for n in range(40)]
    assert guessed("country,account,item,time", *rows)[1]["user_id"] == "account"
    assert guessed("country,who,item,time", *rows)[1]["user_id"] == "who"
    assert guessed("country,city,item,time", *rows) is None


def test_items_users_and_neither():
    assert guessed("sku,name,beschreibung,kategorie", "1,A,B,C", stem="catalog") == (
        "items",
        {"item_id": "sku", "title": "name", "text": "beschreibung", "category": "kategorie"},
    )
    assert guessed("customer_id,age", "1,33", stem="customers") == ("users", {"user_id": "customer_id"})
    assert guessed("x,y", "1,2") is None


def test_a_folder_of_several_tables_in_other_words(tmp_path):
    lines(tmp_path / "a_products.csv", "sku,title,beschreibung", "p1,Tee,Grün", "p2,Tasse,Blau")
    lines(tmp_path / "events.csv", "uid,sku,ts,action", "u1,p1,1700000000,view", "u2,p2,1700000001,click")
    lines(tmp_path / "kunden.csv", "uid,alter", "u1,33", "u2,44")
    seen = inspect_source(SourceConfig(source=str(tmp_path)))
    assert list(seen.config.mapping) == ["interactions", "items", "users"]
    found = read(tmp_path, format="contract", mapping=seen.config.mapping)
    assert found.rows() == {"items": 2, "users": 2, "impressions": 0, "interactions": 2, "rejected": 0}
    assert rows(found, "items", "item_id", "title", "text") == [("p1", "Tee", "Grün"), ("p2", "Tasse", "Blau")]
    assert rows(found, "interactions", "user_id", "item_id", "type") == [("u1", "p1", "view"), ("u2", "p2", "click")]


def test_nested_json_is_mapped_with_dots(tmp_path):
    rows = [{"user": {"id": n % 3}, "product": {"id": f"p{n}", "price": 2}, "ts": 1_700_000_000 + n} for n in range(6)]
    seen = inspect_source(SourceConfig(source=str(json_lines(tmp_path / "log.jsonl", *rows))))
    assert seen.config.mapping == {"interactions": {"user_id": "user.id", "item_id": "product.id", "timestamp": "ts"}}
    assert seen.tables["interactions"].rows == 6
    assert seen.tables["interactions"].samples[0]["item_id"] == "p0"


def test_one_line_that_is_otherwise_takes_no_column_away(tmp_path):
    rows = [{"user": {"id": n % 3}, "product": {"id": f"p{n}"}, "ts": 1_700_000_000 + n} for n in range(6)]
    odd = {"user": {"id": 1}, "product": "p9", "ts": 1_700_000_009}
    seen = inspect_source(SourceConfig(source=str(json_lines(tmp_path / "log.jsonl", *rows, odd))))
    assert seen.config.mapping["interactions"]["item_id"] == "product.id"
    assert seen.tables["interactions"].rows == 6
    assert seen.refused.total() == 1


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_of_parquet_in_whatever_arrow_type(tmp_path, kind):
    names = {"user": ["u1", "u2"], "sku": ["a", "b"], "at": ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"]}
    pq.write_table(pa.table({name: pa.array(cells, kind) for name, cells in names.items()}), tmp_path / "log.parquet")
    seen = inspect_source(SourceConfig(source=str(tmp_path / "log.parquet")))
    assert seen.tables["interactions"].rows == 2


def test_structs_of_parquet_are_mapped_too(tmp_path):
    rows = pa.table(
        {"who": [{"user_id": "u1"}, {"user_id": "u2"}], "sku": ["a", "b"], "at": [1_700_000_000, 1_700_000_001]}
    )
    pq.write_table(rows, tmp_path / "log.parquet")
    seen = inspect_source(SourceConfig(source=str(tmp_path / "log.parquet")))
    assert seen.config.mapping["interactions"]["user_id"] == "who.user_id"
    assert seen.tables["interactions"].rows == 2


def test_a_large_source_is_looked_at_in_part(tmp_path):
    texts = (f"u{n % 50},i{n % 70},{1_700_000_000 + n}" for n in range(250_000))
    source = lines(tmp_path / "clicks.csv", "user_id,item_id,timestamp", *texts)
    seen = inspect_source(SourceConfig(source=str(source)), limit=50_000)
    assert not seen.whole
    assert 50_000 <= seen.tables["interactions"].rows < 250_000
    assert "A sample: the first" not in run(lines(tmp_path / "few.csv", "user_id,item_id,timestamp", f"u,i,{TIME}"))


def test_what_does_not_fit_is_shown_with_its_place(tmp_path):
    lines(tmp_path / "ratings.dat", "1::10::5::978300760", "broken")
    told = run(tmp_path / "ratings.dat")
    assert "format movielens" in told
    assert "1: is not user, movie, rating and time; first in ratings.dat, line 2: broken" in told


def test_a_format_can_be_named(tmp_path):
    source = json_lines(tmp_path / "x.jsonl", {"a": 1})
    with pytest.raises(DataError, match="no events of Metarank"):
        run(source, "--format", "metarank")
    with pytest.raises(ConfigError, match="--format"):
        run(source, "--format", "xml")


def test_the_real_files_are_recognised():
    folder = real_data("ml-1m/ml-1m_sas.txt.gz").parent.parent
    expected = {
        "ml-1m/ml-1m_sas.txt.gz": "movielens",
        "ml-1m/ml-1m_sequences.parquet": "movielens",
        "amazon-llamarec/ml100k_interactions.parquet": "movielens",
        "amazon-llamarec/games_interactions.parquet": "amazon",
        "mind-sample": "mind",
        "uci-online-retail": "online-retail",
    }
    for name, kind in expected.items():
        assert inspect_source(SourceConfig(source=str(folder / name)), 1000).config.format == kind


def test_the_configuration_of_a_source_counts_and_options_win(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "x.csv", "a,b,c", "u1,i1,2026-01-31 12:00:00", "u2,i2,2026-01-31 13:00:00")
    (tmp_path / "own.yaml").write_text(
        "data:\n  timezone: Asia/Shanghai\n  mapping:\n    interactions: {user_id: a, item_id: b, timestamp: c}\n"
    )
    assert "interactions: 2 rows, 2026-01-31 04:00 to 2026-01-31 05:00" in run("x.csv", "-c", "own.yaml")
    assert "interactions: 2 rows, 2026-01-31 12:00" in run("x.csv", "-c", "own.yaml", "--timezone", "UTC")
    (tmp_path / "own.yaml").write_text(f"data:\n  source: {tmp_path / 'x.csv'}\n  timezone: Asia/Shanghai\n")
    lines(tmp_path / "y.csv", "user,item,time", "u1,i1,2026-01-31 12:00:00")
    assert "interactions: 1 row, 2026-01-31 12:00" in run("y.csv", "-c", "own.yaml")


def test_files_that_are_not_looked_at_are_counted(tmp_path):
    for number in range(503):
        lines(tmp_path / f"{number}.csv", "uid,sku,ts", f"u{number},p1,1700000000")
    seen = inspect_source(SourceConfig(source=str(tmp_path)))
    assert "Only the columns of the first 500 of 503 files were looked at." in seen.notes
    assert seen.tables["interactions"].rows == 503


def test_a_file_is_what_the_reader_takes_it_for(tmp_path):
    lines(tmp_path / "products.csv", "sku,name,uid,ts", "p1,Tee,u1,1700000000")
    lines(tmp_path / "clicks.csv", "uid,sku,ts", "u1,p1,1700000000")
    seen = inspect_source(SourceConfig(source=str(tmp_path)))
    found = read(tmp_path, format="contract", mapping=seen.config.mapping).rows()
    assert seen.tables["interactions"].rows == found["interactions"] == 2
    assert [guess.table for _, guess in seen.guesses] == ["interactions", "interactions"]
