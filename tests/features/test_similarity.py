"""Similarities by hand, and the whole candidate table on Spark as on DuckDB."""

from __future__ import annotations

import json
import math
import shutil
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank import columns as c
from liverank.config import DataConfig, FeatureConfig
from liverank.config.candidates import CandidateConfig
from liverank.features.candidate_table import write_candidates
from liverank.features.definitions import Cuts, split_events
from liverank.features.engine import F, open_engine
from liverank.features.learned import neighbours_of
from liverank.features.log import with_instants
from liverank.features.similarity import pairs, profiles, similarities, sums, togetherness
from liverank.features.snapshot import Snapshot
from tests.features.conftest import SPARK, build, write
from tests.features.test_online import items, traffic

# Users u, v have x and y; w has x twice and z; t has z alone.
EVENTS = [("u", "x"), ("u", "y"), ("v", "x"), ("v", "y"), ("w", "x"), ("w", "x"), ("w", "z"), ("t", "z")]
ONE, TWO = round(1000 * math.log(2)), round(1000 * math.log(3))


def near(tmp_path: Path, **config: Any) -> dict[tuple[str, str], dict[str, int]]:
    """(item, neighbour) -> values in millionths, and its place."""
    settings = CandidateConfig(**config)
    names = [c.USER_ID, c.ITEM_ID]
    table = pa.table({name: [pair[at] for pair in EVENTS] for at, name in enumerate(names)})
    table = table.append_column("micros", pa.array(range(len(EVENTS)), pa.int64()))
    with open_engine(FeatureConfig(), tmp_path) as engine:
        rated = engine.kept(profiles(engine.rows(table), F.col(c.USER_ID), settings.max_profile), "rated")
        met = engine.kept(pairs(rated, sums(rated)), "met")
        alike = engine.arrow(similarities(met, 4, settings)).to_pylist()
        together = engine.arrow(togetherness(met, settings)).to_pylist()
    found = {(row[c.ITEM_ID], row["neighbour"]): row for row in alike}
    for row in together:
        found[row[c.ITEM_ID], row["neighbour"]]["together"] = row["together"]
    return found


def test_similarities_by_hand(tmp_path: Path) -> None:
    found = near(tmp_path, shrinkage=0)
    assert set(found) == {("x", "y"), ("y", "x"), ("x", "z"), ("z", "x")}
    x = np.array([ONE, ONE, TWO, 0])
    y = np.array([ONE, ONE, 0, 0])
    expected = {
        "cosine": (x @ y) / np.linalg.norm(x) / np.linalg.norm(y),
        "pearson": np.corrcoef(x, y)[0, 1],
        "jaccard": 2 / 3,
        "together": 2 / math.sqrt(3 * 2),
    }
    for name, value in expected.items():
        assert found["x", "y"][name] == found["y", "x"][name] == pytest.approx(value * 1e6, abs=1)
    assert found["x", "z"]["pearson"] < 0


def test_few_common_users_prove_little(tmp_path: Path) -> None:
    sure, shrunk = near(tmp_path, shrinkage=0), near(tmp_path, shrinkage=2)
    assert shrunk["x", "y"]["jaccard"] == pytest.approx(sure["x", "y"]["jaccard"] * 2 / 4, abs=1)
    assert shrunk["x", "z"]["jaccard"] == pytest.approx(sure["x", "z"]["jaccard"] * 1 / 3, abs=1)


def test_only_the_nearest_are_kept(tmp_path: Path) -> None:
    found = near(tmp_path, neighbours=1, shrinkage=0)
    assert set(found) == {("x", "y"), ("y", "x"), ("z", "x")}


def test_a_profile_keeps_what_it_had_last(tmp_path: Path) -> None:
    # With room for two items nobody loses one; u had y last, so that a third item would push out x.
    EVENTS.append(("u", "z"))
    try:
        assert ("x", "y") in near(tmp_path, max_profile=2, shrinkage=0)
        found = near(tmp_path, max_profile=2, shrinkage=0)
        assert found["x", "y"]["jaccard"] == pytest.approx(1e6 * 1 / 3, abs=1)
    finally:
        EVENTS.pop()


def test_neighbours_become_padded_arrays() -> None:
    table = pa.table(
        {c.ITEM_ID: ["a", "a", "c"], "neighbour": ["b", "c", "a"], "place": [1, 2, 1], "cosine": [9, 5, 7]}
    )
    found = neighbours_of(table, ["cosine"], {"a": 0, "b": 1, "c": 2}, 50)
    assert found.rows.tolist() == [[1, 2], [-1, -1], [0, -1]]
    assert found.values[:, :, 0].tolist() == [[9, 5], [0, 0], [7, 0]]
    grown = found.grown(4)
    assert grown.rows.tolist() == [*found.rows.tolist(), [-1, -1]]


@pytest.mark.usefixtures("spark")
def test_spark_gives_the_same_table_and_snapshot(tmp_path: Path) -> None:
    events, lists = traffic(3)
    dataset = write(tmp_path / "data", events[:400], lists[:90], items())
    settings = {"table": True, "neighbours": 10}
    ours = build(dataset, tmp_path / "out", candidate=settings).folder
    theirs = tmp_path / "spark"
    theirs.mkdir()
    for name in ("items.parquet", "requests.parquet"):
        shutil.copy(ours / name, theirs / name)
    shutil.copytree(ours / "item_days", theirs / "item_days")
    config = FeatureConfig(**SPARK, candidate=CandidateConfig(**settings))
    until = datetime.fromisoformat(json.loads((ours / "split.json").read_text())["train_until"])
    cut = round(until.timestamp() * 1e6)
    with open_engine(config, theirs) as engine:
        rows = [engine.scan(path) for path in sorted((ours / "events").iterdir())]
        told = with_instants(reduce(lambda one, other: one.unionByName(other), rows))
        stream = split_events(told, Cuts(cut, cut, cut, cut))
        shown = engine.scan(dataset / "impressions.parquet")
        write_candidates(engine, stream, shown, theirs, config, DataConfig(), Cuts(cut, cut, cut, cut), True)
    for name in ("candidates.parquet", "negatives.parquet"):
        one, other = (pq.read_table(folder / name) for folder in (ours, theirs))
        assert one.num_rows > 100
        assert one.equals(other), name
    one, other = (Snapshot.load(folder / "snapshot") for folder in (ours, theirs))
    assert one.settings == other.settings
    for field in ("similar", "together"):
        assert (getattr(one, field).values == getattr(other, field).values).all()
        assert (getattr(one, field).rows == getattr(other, field).rows).all()
    assert (one.daily.counts == other.daily.counts).all()
