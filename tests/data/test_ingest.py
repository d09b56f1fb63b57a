"""Ingest at its edges: several sources, any batch sizes, stopped at any moment, on a disk that fills up."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.dataset import DATASET_SCHEMAS, read_dataset, read_source
from liverank.data.dataset_files import PARTIAL, ROW_GROUP, TableWriter, content_hash, growing
from liverank.data.ingest import ingest, source_names
from liverank.data.spool import Spool
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS, Interaction, Item
from liverank.store import open_store
from tests.data.writing import NOON, clicks_csv

HEAD = "event_id,user_id,item_id,timestamp"


def two_sources(folder, **settings):
    for name in ("shop", "app"):
        (folder / name).mkdir()
    clicks_csv(
        folder / "shop" / "clicks.csv", "e1,u1,a,2026-01-31T12:00:00Z", "e2,u1,b,2026-01-31T11:00:00Z", head=HEAD
    )
    clicks_csv(folder / "app" / "clicks.csv", "e2,u9,z,2026-01-31T11:00:00Z", "e3,u2,b,2026-01-31T10:00:00Z", head=HEAD)
    clicks_csv(folder / "shop" / "items.csv", "a,old", "b,shop only", head="item_id,title")
    clicks_csv(folder / "app" / "items.csv", "a,new", head="item_id,title")
    return DataConfig(
        source=str(folder / "shop"), sources=(SourceConfig(source=str(folder / "app"), name="the app"),), **settings
    )


def rows(out, table, *names):
    return [tuple(row.values()) for row in pq.read_table(out / f"{table}.parquet", columns=list(names)).to_pylist()]


def test_an_event_of_two_sources_is_the_firsts_and_an_item_the_lasts(tmp_path):
    summary = ingest(two_sources(tmp_path), tmp_path / "out")
    assert rows(tmp_path / "out", "interactions", "event_id", "user_id", "origin") == [
        ("e3", "u2", "the app"),
        ("e2", "u1", "shop"),
        ("e1", "u1", "shop"),
    ]
    assert rows(tmp_path / "out", "items", "item_id", "title", "origin") == [
        ("a", "new", "the app"),
        ("b", "shop only", "shop"),
    ]
    assert summary.notes[-2:] == (
        "shop: 1 items are in another source too, and were taken from there.",
        "the app: 1 interactions are in another source too, and were taken from there.",
    )
    assert read_source(tmp_path / "out")["source"] == "shop + the app"


def test_repeats_within_a_source_stay_for_validation(tmp_path):
    line = "e1,u1,a,2026-01-31T12:00:00Z"
    path = clicks_csv(tmp_path / "clicks.csv", line, line, head=HEAD)
    assert ingest(DataConfig(source=str(path)), tmp_path / "out").rows["interactions"] == 2


def test_the_live_store_comes_last_and_sources_may_stand_under_sources_alone(tmp_path):
    store = open_store(tmp_path / "live.db")
    event = Interaction(event_id="e1", user_id="x", item_id="a", type="click", timestamp=NOON)
    store.append([event, Interaction(event_id="e9", user_id="x", item_id="a", type="click", timestamp=NOON)])
    store.append([Item(item_id="a", title="live")])
    store.close()
    config = two_sources(tmp_path, live_store=str(tmp_path / "live.db"))
    alone = config.model_copy(update={"source": "", "sources": config.every_source()})
    summary = ingest(alone, tmp_path / "out")
    assert summary.rows["interactions"] == 4
    assert summary.notes[-1] == "The live store added 1 interactions and 0 impressions."
    assert ("a", "live", "live store") in rows(tmp_path / "out", "items", "item_id", "title", "origin")
    assert ("e1", "u1", "shop") in rows(tmp_path / "out", "interactions", "event_id", "user_id", "origin")


def test_a_dataset_folder_as_a_source_keeps_what_it_knows_of_its_rows(tmp_path):
    config = two_sources(tmp_path)
    clicks_csv(tmp_path / "app" / "more.csv", ",u,a,2026-01-31T12:00:00Z", "e,,a,2026-01-31T12:00:00Z", head=HEAD)
    once = ingest(config, tmp_path / "once")
    again = ingest(DataConfig(source=str(tmp_path / "once")), tmp_path / "again")
    assert again.hash == once.hash
    for table in ("interactions", "items", "rejected"):
        first, second = (pq.read_table(tmp_path / name / f"{table}.parquet") for name in ("once", "again"))
        assert first.equals(second), table
    (row,) = read_dataset(tmp_path / "again").rejected.to_pylist()
    assert (row["origin"], row["line"], row["reason"]) == ("the app", 3, "user_id is missing")


def test_a_column_named_origin_in_ones_own_file_is_no_source(tmp_path):
    path = clicks_csv(tmp_path / "c.csv", "u,a,2026-01-31T12:00:00Z,Paris", head="user_id,item_id,timestamp,origin")
    summary = ingest(DataConfig(source=str(path)), tmp_path / "out")
    assert rows(tmp_path / "out", "interactions", "origin") == [("c.csv",)]
    assert any("the column origin" in note for note in summary.notes)


def test_names_of_sources_differ():
    sources = [
        SourceConfig(source=source) for source in ("a/x.csv", "b/x.csv", "s3://k:pw@b/x.csv", "postgresql://h/d?p=1")
    ]
    assert source_names(tuple(sources)) == ["x.csv", "x.csv (2)", "x.csv (3)", "d"]


def test_notes_say_which_source_they_are_about(tmp_path):
    config = two_sources(tmp_path)
    (tmp_path / "app" / "readme.txt").write_text("hello")
    assert "the app: readme.txt was not read: no data file." in ingest(config, tmp_path / "out").notes


@given(cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_a_table_is_the_same_bytes_however_it_arrives(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("cuts")
    table = pa.table({"id": [f"{n % 7}-{n}" for n in range(1000)], "x": pa.array([None, 1.5] * 500)})
    for name, edges in {"whole": [0, 1000], "cut": [0, *sorted(cuts), 1000]}.items():
        with TableWriter(folder / name, table.schema) as writer:
            for start, end in pairwise(edges):
                writer.write(table.slice(start, end - start))
    assert (folder / "whole").read_bytes() == (folder / "cut").read_bytes()


def many(count, seed=0):
    """Interactions in random order, some at the same time."""
    rng = np.random.default_rng(seed)
    seconds = rng.integers(0, count // 2, count)
    ids = [f"e{n:07d}" for n in rng.permutation(count)]
    times = [NOON + timedelta(seconds=int(second)) for second in seconds]
    columns = {"event_id": ids, "user_id": [f"u{n % 50}" for n in range(count)], "item_id": ["a"] * count}
    return pa.table({**columns, "timestamp": pa.array(times, pa.timestamp("us", tz="UTC"))})


def test_the_same_rows_give_the_same_hash_from_any_files_in_any_batches_and_order(tmp_path):
    table = many(2 * ROW_GROUP + 17)
    hashes = set()
    for name, pieces, group in (("one", 1, 1_000_000), ("nine", 9, 1000), ("sorted", 1, 50_000)):
        folder = tmp_path / name / "interactions"
        folder.mkdir(parents=True)
        source = table.sort_by([("timestamp", "ascending"), ("event_id", "ascending")]) if name == "sorted" else table
        size = -(-source.num_rows // pieces)
        for piece in range(pieces):
            part = source.slice(piece * size, size)
            pq.write_table(part, folder / f"part-{piece}.parquet", row_group_size=group)
        summary = ingest(DataConfig(source=str(tmp_path / name)), tmp_path / f"{name}-out")
        assert summary.rows["interactions"] == table.num_rows
        hashes.add(summary.hash)
    assert len(hashes) == 1
    found = pq.read_table(tmp_path / "nine-out" / "interactions.parquet")
    assert found.schema.equals(DATASET_SCHEMAS["interactions"])
    keys = found.select(["timestamp", "event_id"])
    assert keys.equals(keys.sort_by([("timestamp", "ascending"), ("event_id", "ascending")]))


def test_the_hash_does_not_count_where_a_row_came_from_but_every_value(tmp_path):
    for name, user in (("here", "u"), ("there", "u"), ("other", "v")):
        clicks_csv(
            tmp_path / f"{name}.csv", f"e1,{user},a,2026-01-31T12:00:00Z", "e,,b,2026-01-31T12:00:00Z", head=HEAD
        )
    here, there, other = (
        ingest(DataConfig(source=str(tmp_path / f"{name}.csv")), tmp_path / name).hash
        for name in ("here", "there", "other")
    )
    assert here == there
    assert here != other
    assert here == content_hash(tmp_path / "here", list(ARROW_SCHEMAS), "rejected")


def test_rows_that_are_in_order_already_are_not_sorted_again(tmp_path):
    spool = Spool(tmp_path)
    table = many(1000).sort_by([("timestamp", "ascending"), ("event_id", "ascending")])
    whole = {field.name: pa.nulls(1000, field.type) for field in DATASET_SCHEMAS["interactions"]}
    whole |= {name: table.column(name) for name in table.column_names} | {
        "type": ["view"] * 1000,
        "origin": ["x"] * 1000,
    }
    table = pa.table(whole, schema=DATASET_SCHEMAS["interactions"])
    for start in (0, 300):
        spool.add(0, "interactions", table.slice(start, 300))
    assert spool.runs["interactions"][0].sorted
    spool.add(0, "interactions", table.slice(100, 1))
    assert not spool.runs["interactions"][0].sorted


def test_a_result_stands_until_the_next_is_whole(tmp_path):
    good = clicks_csv(tmp_path / "good.csv", "e1,u,a,2026-01-31T12:00:00Z", head=HEAD)
    ingest(DataConfig(source=str(good)), tmp_path / "out")
    before = (tmp_path / "out" / "source.json").read_bytes()
    with pytest.raises(DataError):
        ingest(DataConfig(source=str(clicks_csv(tmp_path / "bad.csv", head=HEAD))), tmp_path / "out")
    assert (tmp_path / "out" / "source.json").read_bytes() == before
    assert read_dataset(tmp_path / "out").tables["interactions"].num_rows == 1
    assert not (tmp_path / "out" / PARTIAL).exists()


def _write_and_stop(folder):
    for name in ("interactions.parquet", "source.json"):
        (folder / name).write_text("something")
    raise KeyboardInterrupt


def test_a_folder_that_grows_is_not_there_before_its_end(tmp_path):
    (tmp_path / PARTIAL).mkdir()
    (tmp_path / PARTIAL / "leftover.parquet").write_text("of a run that was killed")
    with pytest.raises(KeyboardInterrupt), growing(tmp_path, "source.json") as partial:
        _write_and_stop(partial)
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys
from pathlib import Path
from liverank.config.data import DataConfig
from liverank.data.ingest import ingest
from liverank.errors import DataError
try:
    ingest(DataConfig(source=sys.argv[1]), Path(sys.argv[2]))
except DataError as problem:
    print(problem)
    sys.exit(2)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "interactions.parquet"
    pq.write_table(many(300_000), path)
    return path


def started(source, out, **options):
    command = [sys.executable, "-c", PROGRAM, str(source), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_that_looks_complete(big, tmp_path, sent):
    out = tmp_path / "out"
    process = started(big, out)
    deadline = time.monotonic() + 60
    while process.poll() is None and not list(out.glob(f"{PARTIAL}/**/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (out / "source.json").exists()
    assert not list(out.glob("*.parquet"))
    assert ingest(DataConfig(source=str(big)), out).rows["interactions"] == 300_000
    assert not (out / PARTIAL).exists()


def test_a_disk_that_fills_up_is_told_and_leaves_nothing(big, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))

    process = started(big, tmp_path / "out", preexec_fn=limit)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "cannot be written" in said
    assert "GiB free" in said
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_of_two_megabytes(big, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        with pytest.raises(DataError, match=r"cannot be written: .*(No space left|space)") as caught:
            ingest(DataConfig(source=str(big)), disk / "out")
        assert caught.value.hint.startswith("Its disk has 0.0 GiB free")
        assert list((disk / "out").iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_source_json_names_format_rows_and_hash(tmp_path):
    summary = ingest(two_sources(tmp_path), tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "source.json").read_text())
    assert facts["hash"] == summary.hash
    assert facts["format"] == "contract"
    assert facts["rows"] == {"items": 2, "users": 0, "impressions": 0, "interactions": 3, "rejected": 0}
