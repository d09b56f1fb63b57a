"""Files as the world makes them: encodings, line ends, cut ends, odd places; each read, or refused with its place."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.files import BATCH_ROWS
from liverank.data.ingest import ingest
from liverank.errors import DataError
from tests.data.dirty import HEAD, ROW, events, refused, written
from tests.data.writing import NOON, clicks_csv, parquet_file, read_contract


def test_the_place_counts_letters_and_lines(tmp_path):
    path = written(tmp_path / "clicks.csv", f"{HEAD}\n{ROW}\n".encode() + "é€".encode() + b"\xe9,a,x,click\n")
    assert "line 3, column 3 is not UTF-8" in refused(path)


def test_a_wrong_encoding_setting_is_an_error_and_one_that_does_not_exist_too(tmp_path):
    path = written(tmp_path / "clicks.csv", f"{HEAD}\né,a,2026-01-31T12:00:00Z,click\n".encode("cp1252"))
    assert "clicks.csv, line 2, column 1 is not ascii" in refused(path, encoding="ascii")
    with pytest.raises(ValueError, match="there is no encoding 'klingon'"):
        SourceConfig(encoding="klingon")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("quoted", [False, True])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path, end, mark, quoted):
    row = '"u1",a,2026-01-31T12:00:00Z,click' if quoted else ROW
    path = written(tmp_path / "clicks.csv", mark + end.join([HEAD, row, "", "u2,b,2026-01-31T12:00:00Z,view"]).encode())
    assert [(event["user_id"], event["type"]) for event in events(path)] == [("u1", "click"), ("u2", "view")]


def test_mixed_line_ends_keep_the_line_numbers(tmp_path):
    path = written(tmp_path / "clicks.csv", f"{HEAD}\r\n{ROW}\n{ROW}\r\n\r\n,a,2026-01-31T12:00:00Z,click\r{ROW}")
    (row,) = read_contract(path).rejected.to_pylist()
    assert (row["reason"], row["line"], row["file"]) == ("user_id is missing", 5, str(path))


def test_rejected_rows_of_parquet_know_their_number_beyond_the_first_batch(tmp_path):
    rows = BATCH_ROWS + 3
    users = ["u1"] * rows
    users[1] = users[BATCH_ROWS + 1] = None
    table = {"user_id": users, "item_id": ["a"] * rows, "timestamp": ["2026-01-31T12:00:00Z"] * rows}
    pq.write_table(pa.table(table), tmp_path / "clicks.parquet")
    rejected = read_contract(tmp_path / "clicks.parquet").rejected.to_pylist()
    assert [(row["reason"], row["line"]) for row in rejected] == [
        ("user_id is missing", 2),
        ("user_id is missing", BATCH_ROWS + 2),
    ]


@pytest.mark.parametrize("quote", ["", '"'])
def test_rejected_rows_know_their_lines_after_ragged_blank_and_quoted_ones(tmp_path, quote):
    text = f'"two\nlines"{ROW[2:]}' if quote else ROW
    lines = [HEAD, text, "u,a", "", ",b,2026-01-31T12:00:00Z,click", "u,a,b,c,d", "u,c,never,click", ROW]
    rejected = read_contract(written(tmp_path / "clicks.csv", "\n".join(lines))).rejected.to_pylist()
    assert {row["line"] - len(quote): row["reason"] for row in rejected} == {
        3: "has 2 fields where the header has 4",
        5: "user_id is missing",
        6: "has 5 fields where the header has 4",
        7: "timestamp is not an ISO time",
    }


cells = st.text(st.sampled_from('ab"é茶🫖,;\n\t '), max_size=6)


@given(users=st.lists(cells.filter(str.strip), min_size=1, max_size=8), blank=st.booleans())
def test_any_text_survives_a_csv_and_every_row_knows_its_line(tmp_path_factory, users, blank):
    path = tmp_path_factory.mktemp("csv") / "clicks.csv"
    lines, numbers = [HEAD], []
    for user in users:
        numbers.append(sum(line.count("\n") + 1 for line in lines) + 1)
        lines.append('"' + user.replace('"', '""') + '",a,never,click')
    # One good row, so that the file is not refused as a whole.
    lines += [""] * blank + [ROW]
    rejected = read_contract(written(path, "\n".join(lines))).rejected.to_pylist()
    assert [
        (row["line"], json.loads(row["row"])["user_id"]) for row in sorted(rejected, key=lambda row: row["line"])
    ] == [*zip(numbers, users, strict=True)]


def test_a_quote_that_never_closes_costs_one_line(tmp_path):
    good = [f"u{n},a,2026-01-31T12:00:00Z,click" for n in range(2000)]
    path = written(tmp_path / "clicks.csv", "\n".join([HEAD, *good[:3], '"u,a,2026-01-31T12:00:00Z,click', *good[3:]]))
    dataset = read_contract(path)
    assert dataset.tables["interactions"].num_rows == 2000
    (row,) = dataset.rejected.to_pylist()
    assert (row["line"], row["row"]) == (5, '"u,a,2026-01-31T12:00:00Z,click')
    assert row["reason"].startswith("its quotes do not close")


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_other_separators_are_read_and_said(tmp_path, mark, word):
    path = written(tmp_path / "clicks.csv", f"{HEAD}\n{ROW}\n".replace(",", mark))
    dataset = read_contract(path)
    assert dataset.tables["interactions"].num_rows == 1
    assert f"clicks.csv: the columns are separated by {word}." in dataset.notes


def test_a_json_line_cut_off_is_kept_with_its_line_and_column(tmp_path):
    whole = json.dumps({"user_id": "u1", "item_id": "茶壶", "timestamp": "2026-01-31T12:00:00Z"}, ensure_ascii=False)
    cut = whole.encode()[: whole.encode().index("茶".encode()) + 1]
    path = written(tmp_path / "clicks.jsonl", f"{whole}\n\n{whole}\n".encode() + cut)
    dataset = read_contract(path)
    assert dataset.tables["interactions"].num_rows == 2
    (row,) = dataset.rejected.to_pylist()
    assert row["line"] == 4
    assert row["reason"].startswith("is not a JSON object: it is cut off after column")


def test_a_broken_json_line_names_line_and_column(tmp_path):
    good = '{"user_id": "u1", "item_id": "a", "timestamp": "2026-01-31T12:00:00Z"}'
    path = written(tmp_path / "clicks.jsonl", f'{good}\n{{"user_id": "é", "item_id": oops}}\n[1]\n{good}\n')
    first, second = read_contract(path).rejected.to_pylist()
    assert (first["line"], second["line"]) == (2, 3)
    assert "in column 29" in first["reason"]


def test_objects_that_run_over_lines_are_not_taken_for_one(tmp_path):
    path = written(
        tmp_path / "clicks.jsonl", '{"user_id": "u1", "item_id": "a"\n"timestamp": "2026-01-31T12:00:00Z"}\n'
    )
    assert "No row of" in refused(path)


def test_a_json_array_is_no_json_lines(tmp_path):
    assert "begins a JSON array" in refused(written(tmp_path / "clicks.jsonl", '[{"user_id": "u1"}]'))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_parquet_file_cut_off(tmp_path, share):
    path = parquet_file(tmp_path / "clicks.parquet", user_id=["u"], item_id=["a"], timestamp=pa.array([NOON]))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "clicks.parquet cannot be read as Parquet" in refused(path)


def test_a_parquet_file_damaged_in_the_middle(tmp_path):
    times = pa.array([NOON + timedelta(seconds=n) for n in range(5000)])
    path = parquet_file(
        tmp_path / "clicks.parquet", user_id=[f"u{n}" for n in range(5000)], item_id=["a"] * 5000, timestamp=times
    )
    content = bytearray(path.read_bytes())
    content[200:4000] = b"\xff" * 3800
    path.write_bytes(content)
    assert "clicks.parquet cannot be read as Parquet" in refused(path)


@pytest.mark.parametrize("name", ["clicks.csv.gz", "clicks.jsonl.gz"])
def test_gzip_is_read_and_one_cut_off_is_refused(tmp_path, name):
    row = {"user_id": "u1", "item_id": "a", "timestamp": "2026-01-31T12:00:00Z"}
    text = f"{HEAD}\n{ROW}\n" if "csv" in name else json.dumps(row) + "\n"
    path = written(tmp_path / name, gzip.compress(text.encode()))
    assert len(events(path)) == 1
    path.write_bytes(path.read_bytes()[:-12])
    assert f"{name} is cut off or damaged" in refused(path)
    path.write_bytes(b"no gzip at all")
    assert f"{name} cannot be read" in refused(path)


@pytest.mark.parametrize("path", ["C:\\data\\clicks.csv", "C:/data/clicks.csv", "\\\\server\\share\\clicks.csv"])
def test_a_path_of_windows_is_named_as_one(path, tmp_path):
    with pytest.raises(DataError, match="is a path of Windows") as caught:
        ingest(DataConfig(source=path), tmp_path / "out")
    assert caught.value.hint


def test_an_empty_folder_and_an_empty_day(tmp_path):
    (tmp_path / "none").mkdir()
    assert "There is no data at" in refused(tmp_path / "none")
    folder = tmp_path / "days"
    folder.mkdir()
    clicks_csv(folder / "clicks-01.csv", ROW, head=HEAD)
    clicks_csv(folder / "clicks-02.csv", head=HEAD)
    assert len(events(folder)) == 1
    for name in ("clicks-03.csv", "clicks-04.jsonl"):
        (folder / name).write_bytes(b"")
    dataset = read_contract(folder)
    assert dataset.tables["interactions"].num_rows == 1
    assert "clicks-03.csv is empty (0 bytes): it was read as no rows." in dataset.notes
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert "clicks-01.csv is empty (0 bytes)" in refused(folder)


def test_one_user_with_a_great_many_events(tmp_path):
    count = 300_000
    times = pa.array([NOON + timedelta(seconds=n) for n in range(count)])
    user = pa.array(["everybody"]).take(pa.array([0] * count))
    path = parquet_file(tmp_path / "clicks.parquet", user_id=user, item_id=user, timestamp=times)
    assert ingest(DataConfig(source=str(path)), tmp_path / "out").rows["interactions"] == count


def test_a_file_that_may_not_be_read(tmp_path):
    assert refused(tmp_path / "none.csv")  # what is imported late is imported now
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = clicks_csv(Path(folder) / "clicks.csv", ROW, head=HEAD)
        path.chmod(0)
        with somebody_else():
            told = refused(path)
    assert "may not be read" in told


@contextmanager
def somebody_else():
    """Root may read everything: it becomes nobody for a while."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_goes_or_shrinks_while_it_is_read(tmp_path):
    from liverank.data.locations import locate

    path = written(tmp_path / "clicks.csv", f"{HEAD}\n" + f"{ROW}\n" * 200_000)
    (file,) = locate(str(path))
    with file.open() as content:
        content.read(10)
        path.write_bytes(b"short")
        with pytest.raises(DataError, match="changed while it was being read"):
            content.read()
    path.unlink()
    with pytest.raises(DataError, match="is no longer there"):
        file.open()
