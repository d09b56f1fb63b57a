"""Sources elsewhere: an S3 server of our own, fsspec's memory, folders and globs, and what goes wrong on the way."""

from __future__ import annotations

import gzip

import fsspec
import pytest

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest
from liverank.data.locations import locate, without_secrets
from liverank.errors import DataError
from pipelines.fingerprint import snapshot
from tests.data.writing import NOON, parquet_file

HEAD = "user_id,item_id,timestamp\n"
DAYS = [f"{HEAD}u{day},a,2026-01-{day}T12:00:00Z\n".encode() for day in ("01", "02", "03")]


@pytest.fixture(scope="module")
def endpoint():
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed: no S3 server to test against")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture(autouse=True)
def _clients_of_this_environment():
    """A client keeps the credentials with which it was made, and tests change them: here and in other files."""
    store = fsspec.get_filesystem_class("s3")
    store.clear_instance_cache()
    yield
    store.clear_instance_cache()


@pytest.fixture
def bucket(endpoint, monkeypatch):
    """A bucket with three days of clicks, a Parquet day, and things that are no data."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="shop")
    for number, day in enumerate(DAYS, 1):
        client.put_object(Bucket="shop", Key=f"events/clicks-{number}.csv", Body=day)
    client.put_object(Bucket="shop", Key="events/more/clicks-4.csv.gz", Body=gzip.compress(DAYS[0]))
    client.put_object(Bucket="shop", Key="events/_SUCCESS", Body=b"")
    client.put_object(Bucket="shop", Key="events/", Body=b"")
    yield client
    for found in client.list_objects_v2(Bucket="shop").get("Contents", ()):
        client.delete_object(Bucket="shop", Key=found["Key"])
    client.delete_bucket(Bucket="shop")


def users(source, out, **settings):
    ingest(DataConfig(source=source, **settings), out)
    return sorted(event["user_id"] for event in read_dataset(out).tables["interactions"].to_pylist())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://shop/events/clicks-2.csv", ["u02"]),
        ("s3://shop/events/", ["u01", "u01", "u02", "u03"]),
        ("s3://shop/events", ["u01", "u01", "u02", "u03"]),
        ("s3://shop/events/clicks-[12].csv", ["u01", "u02"]),
        ("s3://shop/events/**/*.gz", ["u01"]),
    ],
)
def test_a_file_a_folder_and_a_glob_of_s3(bucket, tmp_path, source, expected):
    assert users(source, tmp_path / "out") == expected


def test_parquet_in_s3_is_read_by_its_parts(bucket, tmp_path):
    import pyarrow as pa

    count = 50_000
    path = parquet_file(
        tmp_path / "x.parquet", user_id=[f"u{n}" for n in range(count)], item_id=["a"] * count,
        timestamp=pa.array([NOON] * count),
    )  # fmt: skip
    bucket.put_object(Bucket="shop", Key="interactions/day=2026-01-31/part-0.parquet", Body=path.read_bytes())
    assert len(users("s3://shop/interactions/", tmp_path / "out")) == count


def test_a_snapshot_of_s3_changes_with_an_object_and_not_by_itself(bucket):
    data = DataConfig(source="s3://shop/events/")
    before = snapshot(data)
    assert snapshot(data) == before
    bucket.put_object(Bucket="shop", Key="events/clicks-1.csv", Body=DAYS[2])
    assert snapshot(data) != before


def test_an_object_that_goes_while_it_is_read(bucket):
    bucket.put_object(Bucket="shop", Key="big.csv", Body=b"x" * (30 << 20))
    (file,) = locate("s3://shop/big.csv")
    with file.open() as content:
        content.read(100)
        bucket.delete_object(Bucket="shop", Key="big.csv")
        with pytest.raises(DataError, match=r"s3://shop/big\.csv (is no longer there|cannot be read)"):
            content.read()
    with pytest.raises(DataError, match=r"s3://shop/big\.csv is no longer there"):
        file.open().read()


@pytest.mark.parametrize("source", ["s3://shop/nothing/", "s3://shop/events/*.json", "s3://no-such-bucket/events/"])
def test_nothing_in_s3_is_said_in_one_line(bucket, tmp_path, source):
    with pytest.raises(DataError, match=r"There is no data at s3://|cannot be looked at") as caught:
        users(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "source.json").exists()


def test_a_store_that_does_not_answer_names_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DataError, match="s3://shop/events/ cannot be looked at") as caught:
        users("s3://shop/events/", tmp_path / "out")
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://key:hunter2@bucket/x", "s3://***@bucket/x"),
        ("https://host/x?X-Amz-Signature=hunter2&day=1", "https://host/x?X-Amz-Signature=***&day=1"),
        ("postgresql://me:hunter2@db/shop", "postgresql://***@db/shop"),
        ("s3://bucket/a@b/", "s3://bucket/a@b/"),
    ],
)
def test_messages_show_urls_without_secrets(url, expected):
    assert without_secrets(url) == expected


def test_a_password_in_a_url_is_in_no_message(tmp_path):
    with pytest.raises(DataError) as caught:
        users("s3://key:hunter2@bucket/x", tmp_path / "out")
    assert "hunter2" not in str(caught.value)


def test_any_store_that_fsspec_knows(tmp_path):
    store = fsspec.filesystem("memory")
    for number, day in enumerate(DAYS):
        store.pipe(f"/any/store/clicks-{number}.csv", day)
    store.pipe("/any/store/.hidden/clicks.csv", DAYS[0])
    assert users("memory://any/store/", tmp_path / "out") == ["u01", "u02", "u03"]
    (tmp_path / "a b.csv").write_bytes(DAYS[0])
    assert users(f"file://{tmp_path}/a%20b.csv", tmp_path / "out2") == ["u01"]


def test_a_location_knows_its_name_and_its_neighbours(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "Clicks.CSV.gz").write_bytes(gzip.compress(DAYS[0]))
    (tmp_path / "deep" / "items.csv").write_bytes(b"item_id\na\n")
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "half.csv").write_bytes(b"")
    first, second = locate(str(tmp_path))
    assert (first.name, first.stem, first.suffix, first.folder) == ("Clicks.CSV.gz", "Clicks", ".csv", "deep")
    assert first.open().read() == DAYS[0]
    assert first.sibling("items.csv") == second
    assert first.sibling("users.csv") is None
    fsspec.filesystem("memory").pipe("/beside/a.csv", b"1")
    fsspec.filesystem("memory").pipe("/beside/b.csv", b"22")
    (remote,) = locate("memory://beside/a.csv")
    assert remote.sibling("b.csv").open().read() == b"22"


def test_an_extra_source_in_a_store_joins_the_first(bucket, tmp_path):
    (tmp_path / "own.csv").write_bytes(DAYS[0])
    more = (SourceConfig(source="s3://shop/events/clicks-2.csv", name="cloud"),)
    assert users(str(tmp_path / "own.csv"), tmp_path / "out", sources=more) == ["u01", "u02"]
