"""`liverank data inspect --write`: what is written for a run, what stays as it was, what is refused."""

from __future__ import annotations

import difflib

import pytest

from liverank.config import load_config
from liverank.config.data import DataConfig, SourceConfig
from liverank.data.event_types import proposed_labels, proposed_weight
from liverank.data.ingest import ingest
from liverank.data.inspect import inspect_source
from liverank.data.write_config import Proposal, write_source
from liverank.errors import ConfigError, DataError
from tests.data.inspecting import TIME, run
from tests.data.reading import lines

SHOP = (
    "Kunden-Nr.;Artikelnummer;Zeitpunkt;Aktion;Menge;Notiz",
    "1;a;2026-01-31T12:00:00;buy;2;x",
    "2;b;2026-01-31T13:00:00;pv;1;y",
    "2;a;2026-01-31T14:00:00;levitate;1;z",
)
REST = "# our shop\nworkspace: .lr  # here\nfeatures:\n  candidates: 50\n"


def test_a_foreign_file_is_explained_written_and_then_read_without_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "orders.csv", *SHOP)
    (tmp_path / "liverank.yaml").write_text(REST)
    told = run("orders.csv", "--timezone", "Europe/Berlin", "--write")
    for words in (
        "orders.csv becomes interactions",
        "Kunden-Nr.",
        "its name",
        "Notiz",
        "not taken",
        "buy, pv, levitate",
    ):
        assert words in told
    assert "interactions: 3 rows, 2026-01-31 11:00 to 2026-01-31 13:00 UTC" in told
    assert "type pv: 1 (unknown: give it a weight in data.event_weights; proposed 0.2)" in told
    assert "+    interactions:" in told
    text = (tmp_path / "liverank.yaml").read_text()
    assert text.startswith(REST)
    data = load_config().data
    assert data.mapping["interactions"]["user_id"] == "Kunden-Nr."
    assert data.event_weights == {**DataConfig().event_weights, "buy": 3.0, "pv": 0.2, "levitate": 1.0}
    assert data.label_types == ("click", "cart", "purchase", "rating", "buy")
    assert ingest(data, tmp_path / "out").rows["interactions"] == 3
    assert "says all of this already" in run("orders.csv", "--timezone", "Europe/Berlin", "--write")
    assert (tmp_path / "liverank.yaml").read_text() == text


def test_another_source_replaces_the_first_only_by_force(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "orders.csv", *SHOP)
    lines(tmp_path / "ratings.dat", "1::10::5::978300760")
    run("orders.csv", "--write")
    before = (tmp_path / "liverank.yaml").read_text()
    with pytest.raises(ConfigError, match=r"data.source is 'orders.csv'; .* Nothing was written. --force replaces it"):
        run("ratings.dat", "--write")
    assert (tmp_path / "liverank.yaml").read_text() == before
    assert "-  source: orders.csv" in run("ratings.dat", "--write", "--force")
    data = load_config().data
    assert (data.source, data.format, data.timezone, data.mapping) == ("ratings.dat", "movielens", "", {})


def test_comments_lists_and_own_weights_stay(tmp_path):
    path = tmp_path / "liverank.yaml"
    path.write_text(
        "data:\n  # ours\n  event_weights: {click: 5.0}  # five\n  label_types:\n    - click\n"
        "serving:\n  http_port: 8123\n"
    )
    known = load_config(path).data
    proposal = Proposal.of(SourceConfig(source="x.csv", format="contract"), ["click", "buy"], known)
    diff = write_source(path, proposal)
    assert [line for line in diff.splitlines() if line[:1] == "-" and line[:3] != "---"] == [
        "-  event_weights: {click: 5.0}  # five"
    ]
    text = path.read_text()
    assert "  # ours\n" in text
    assert "{click: 5.0, buy: 3.0} # five" in text
    assert "    - click\n    - buy\n" in text
    assert load_config(path).data.event_weights == {"click": 5.0, "buy": 3.0}


def test_a_file_of_comments_keeps_them_and_a_broken_one_is_not_touched(tmp_path):
    path = tmp_path / "liverank.yaml"
    path.write_text("# nothing yet\n")
    write_source(path, Proposal({"source": "x"}))
    assert path.read_text() == "# nothing yet\ndata:\n  source: x\n"
    path.write_text("data:\n  sauce: x\n")
    with pytest.raises(ConfigError, match=r"Unknown key 'data\.sauce'"):
        write_source(path, Proposal({"source": "x"}))
    assert path.read_text() == "data:\n  sauce: x\n"
    assert [file.name for file in tmp_path.iterdir()] == ["liverank.yaml"]


def test_the_diff_is_the_whole_change(tmp_path):
    path = tmp_path / "liverank.yaml"
    path.write_text(REST)
    diff = write_source(path, Proposal({"source": "x"}))
    expected = difflib.unified_diff(
        REST.splitlines(True), path.read_text().splitlines(True), f"{path} (before)", str(path)
    )
    assert diff == "".join(expected)


def test_weights_and_labels_that_are_proposed():
    assert [proposed_weight(name) for name in ("Buy", "page_view", "收藏", "unlike", "x")] == [3.0, 0.2, 1.0, -1.0, 1.0]
    assert proposed_labels(["purchase", "foo"], ["purchase"]) == []


ORDERS = "用户ID,商品ID,时间,Menge\n1,Tee,2026-01-31 12:00:00,2\n2,Tasse,2026-01-31 13:00:00,1\n"
WIDE = "Kunden-Nr.;Größe;Artikel;Zeitpunkt\n1;groß;Tee;2026-01-31T12:00:00Z\n2;klein;Tasse;2026-01-31T13:00:00Z\n"


@pytest.mark.parametrize(("encoding", "text"), [("utf-16", ORDERS), ("gb18030", ORDERS), ("cp1252", WIDE)])
def test_another_encoding_is_read_as_told_and_written(tmp_path, monkeypatch, encoding, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_bytes(text.encode(encoding))
    with pytest.raises(DataError, match="not UTF-8"):
        run("orders.csv")
    told = run("orders.csv", "--encoding", encoding, "--timezone", "Europe/Berlin", "--write")
    assert "orders.csv becomes interactions" in told
    assert "interactions: 2 rows, 2026-01-31" in told
    data = load_config().data
    assert (data.encoding, data.timezone) == (encoding, "Europe/Berlin")
    assert ingest(data, tmp_path / "out").rows["interactions"] == 2
    assert "says all of this already" in run("orders.csv", "--write")


def test_every_distinct_header_of_a_large_folder_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "shop"
    folder.mkdir()
    for day in range(30):
        lines(folder / f"clicks-{day:02}.csv", "uid,sku,ts", f"u{day},p1,{1_700_000_000 + day}")
    lines(folder / "waren.csv", "sku,titel,beschreibung", "p1,Tee,Grün")
    told = run("shop", "--write")
    assert "clicks-00.csv becomes interactions" in told
    assert "clicks-01.csv becomes" not in told
    assert "waren.csv becomes items" in told
    found = ingest(load_config().data, tmp_path / "out").rows
    assert (found["interactions"], found["items"], found["rejected"]) == (30, 1, 0)


def test_a_field_that_only_some_files_have_is_left_and_a_required_one_elsewhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "s" / "a.csv", "uid,sku,ts,menge", "u1,p1,1700000000,2")
    lines(tmp_path / "s" / "b.csv", "uid,sku,ts", "u1,p1,1700000000")
    seen = inspect_source(SourceConfig(source="s"))
    assert (seen.tables["interactions"].rows, seen.problem) == (2, "")
    assert "a.csv: value from menge is not taken, as other files of interactions lack it." in seen.notes
    lines(tmp_path / "s" / "c.csv", "kunde,sku,ts", "u1,p1,1700000000")
    with pytest.raises(DataError, match=r"Nothing was written, as a run would fail: .*c\.csv"):
        run("s", "--write")
    assert not (tmp_path / "liverank.yaml").exists()


def test_what_no_run_could_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "x.csv", "user_id,item_id,timestamp", "u1,i1,monday", "u2,i2,tuesday")
    with pytest.raises(DataError, match="Nothing was written, as a run would fail: None of the 2 rows"):
        run("x.csv", "--write")
    told = run("x.csv")
    assert "A run would fail: None of the 2 rows of x.csv follows the data contract" in told
    assert "--write" not in told
    assert not (tmp_path / "liverank.yaml").exists()


def test_items_alone_are_written_and_no_run_is_promised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "products.csv", "sku,titel", "p1,Tee")
    told = run("products.csv", "--write")
    assert "A run needs events too." in told
    assert "liverank run" not in told


def test_names_that_lie_do_not_part_the_guess_from_the_reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "a" / "items-clicks.csv", "Kunde,Artikel,Zeit", f"u1,p1,{TIME}", f"u2,p1,{TIME}")
    lines(tmp_path / "b" / "users_clicks.csv", "user_id,item_id,timestamp", f"u1,p1,{TIME}")
    for folder, count in (("a", 2), ("b", 1)):
        run(folder, "--write", "--force")
        assert ingest(load_config().data, tmp_path / f"out{folder}").rows["interactions"] == count
    lines(tmp_path / "a" / "users_clicks.csv", "user_id,item_id,timestamp", f"u1,p1,{TIME}")
    with pytest.raises(DataError, match=r"users_clicks\.csv .*other files of interactions in 'Kunde'|is read as"):
        run("a", "--write", "--force")
