"""The prequential walk on a small stream, and the published baselines on the real one."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.ranking.basket_stream import read_stream
from liverank.ranking.prequential import run
from liverank.ranking.prequential_tally import COLUMNS, ndcg_and_hit

COUNTS = TrainingConfig(interest=InterestConfig(enabled=False))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twenty customers, each with a basket of two a week: always their own item and one drawn at random."""
    folder, rng, rows = tmp_path_factory.mktemp("baskets"), np.random.default_rng(5), []
    for user in range(20):
        for week in range(12):
            instant = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + week * 604800 + user * 3600
            for line, item in enumerate((user, 20 + int(rng.integers(20)))):
                rows.append((f"{user}-{week}-{line}", f"u{user}", f"i{item}", instant + line, f"{user}-{week}"))
    event, user, item, instant, session = zip(*rows, strict=True)
    times = pa.array([int(at * 1e6) for at in instant], pa.timestamp("us", tz="UTC"))
    one = [1.0] * len(rows)
    none, contexts = [None] * len(rows), [[]] * len(rows)
    columns = [event, user, item, ["purchase"] * len(rows), times, one, none, session, contexts, none]
    arrays = dict(zip(ARROW_SCHEMAS["interactions"].names, columns, strict=True))
    pq.write_table(pa.table(arrays, schema=ARROW_SCHEMAS["interactions"]), folder / "interactions.parquet")
    items = [{"item_id": f"i{at}", "title": f"thing {at}"} for at in range(40)]
    pq.write_table(pa.Table.from_pylist(items, schema=ARROW_SCHEMAS["items"]), folder / "items.parquet")
    return folder


def test_baskets_are_sessions_and_see_only_the_past(dataset):
    stream = read_stream(dataset)
    assert len(stream.baskets) == 240
    assert all(len(basket.items) == 2 for basket in stream.baskets)
    request = stream.request(stream.baskets[45])
    assert (request.times < stream.baskets[45].time).all()
    assert len(request.history) == 4
    assert request.steps_back.tolist() == [1, 1, 0, 0]


def test_the_walk_sees_that_customers_come_back_for_their_own_item(dataset, tmp_path):
    cut = datetime(2026, 2, 20, tzinfo=UTC)
    rows = run(dataset, tmp_path, COUNTS, cut=cut).rows()
    blend = rows["blend of counts"]
    assert blend["all"]["hr_at_10"] == 1
    assert blend["all"]["ndcg_at_10"] > rows["popularity, half-life 14 days"]["all"]["ndcg_at_10"] + 0.2
    assert set(blend) <= set(COLUMNS)


def test_ndcg_and_hit_by_hand():
    scores = np.asarray([5, 4, 3, 2, 1], np.float32)
    ndcg, hit = ndcg_and_hit(scores, np.asarray([1, 4]))
    ideal = 1 + 1 / np.log2(3)
    assert ndcg == pytest.approx((1 / np.log2(3) + 1 / np.log2(6)) / ideal)
    assert hit == 1
    assert ndcg_and_hit(np.arange(20, dtype=np.float32), np.asarray([0])) == (0, 0)


def test_no_dataset(tmp_path):
    with pytest.raises(DataError, match=r"items\.parquet is missing"):
        read_stream(tmp_path)
