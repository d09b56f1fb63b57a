"""Spark computes what DuckDB computes, row for row: the definitions are the same functions on native PySpark frames."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from liverank.config import DataConfig, FeatureConfig
from liverank.data.ingest import ingest
from liverank.errors import ConfigError
from liverank.events import Impression, Interaction
from liverank.features.engine import F, open_engine
from tests.conftest import real_data
from tests.features.conftest import BEFORE_EPOCH, SPARK, build, event, write
from tests.features.test_incremental import CONFIG, world

SETTINGS = {**CONFIG, "part_events": 150}
pytestmark = pytest.mark.usefixtures("spark")


def data() -> tuple[list[Interaction], list[Impression]]:
    """Late events, copies, lists, an event before 1970, and names that trip a careless engine."""
    events, lists = world(21)
    odd = [
        Interaction(event_id="old", user_id="l'été 😀", item_id="i01", type="hover", timestamp=BEFORE_EPOCH),
        event("odd", "l'été 😀", "مرحبا", 30, value=0.1, context={"k": "v"}),
    ]
    return [*events, *odd], [*lists, msgspec.structs.replace(lists[0], impression_id="none", shown=[])]


def equal_folders(one: Path, other: Path) -> None:
    """Every table of two features folders has the same rows and types."""
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*.parquet"))
    assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*.parquet"))
    for name in names:
        left, right = pq.read_table(one / name), pq.read_table(other / name)
        assert left.schema.names == right.schema.names
        for column in left.schema.names:
            assert left[column].to_pylist() == right[column].to_pylist(), (name, column)
            assert left.schema.field(column).type == right.schema.field(column).type, (name, column)


def test_generated_data(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", *data())
    duck = build(dataset, tmp_path / "duckdb", train_lists=True, **SETTINGS)
    spark = build(dataset, tmp_path / "spark", train_lists=True, **SETTINGS, **SPARK)
    equal_folders(duck.folder, spark.folder)
    assert duck.summary.events == spark.summary.events


def test_a_new_day_on_spark(tmp_path: Path) -> None:
    events, lists = data()
    first = write(tmp_path / "a", events[: len(events) * 2 // 3], lists[:40])
    build(first, tmp_path / "fa", cache=tmp_path / "cache", **SETTINGS, **SPARK)
    dataset = write(tmp_path / "b", events, lists)
    spark = build(dataset, tmp_path / "spark", cache=tmp_path / "cache", **SETTINGS, **SPARK)
    equal_folders(build(dataset, tmp_path / "duckdb", **SETTINGS).folder, spark.folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_uci_online_retail(tmp_path: Path) -> None:
    source = real_data("uci-online-retail/online_retail.parquet")
    ingest(DataConfig(source=str(source), timezone="Europe/London"), tmp_path / "data")
    duck = build(tmp_path / "data", tmp_path / "duckdb")
    equal_folders(duck.folder, build(tmp_path / "data", tmp_path / "spark", **SPARK).folder)


def test_frames_are_sparks_own_and_urls_are_read(tmp_path: Path) -> None:
    from pyspark.sql import DataFrame

    dataset = write(tmp_path / "data", *data())
    with open_engine(FeatureConfig(**SPARK), tmp_path) as engine:
        frame = engine.scan(f"file://{dataset}/items.parquet")
        assert isinstance(frame, DataFrame)
        assert F.col.__module__.startswith("pyspark")
        assert engine.arrow(frame).num_rows == 30


def test_without_java_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from liverank.features import spark_engine

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigError, match="there is no Java"):
        spark_engine.new_session(FeatureConfig(**SPARK))
