"""Events before 1970, and before doubles can tell every microsecond, are events like others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from liverank.config import FeatureConfig
from liverank.events import Interaction
from liverank.features.engine import open_engine
from liverank.features.learned import events_by_hour
from tests.features.conftest import build, event, write


@pytest.mark.parametrize("moment", [datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(1600, 1, 1, 0, 0, 0, 1, UTC)])
def test_an_old_event_has_an_hour_and_stands_in_its_users_history(tmp_path: Path, moment: datetime) -> None:
    events = [event(f"e{n:02d}", f"u{n % 3}", f"i{n % 9:02d}", n) for n in range(60)]
    old = Interaction(event_id="old", user_id="u2", item_id="i11", type="click", timestamp=moment)
    dataset = write(tmp_path / "data", [old, *events])
    built = build(dataset, tmp_path / "out", popularity_days=(1, 3), candidate={"table": True})
    asked = [row for row in built.rows("requests") if row["user_id"] == "u2"]
    assert asked
    for row in asked:
        assert row["history_item_ids"][0] == "i11"
        assert row["history_timestamps"][0] == pytest.approx(moment.timestamp(), abs=2e-6)


def test_hours_before_1970_are_those_of_the_day(tmp_path: Path) -> None:
    hour = 3_600_000_000
    micros = [-1, -hour - 1, -24 * hour, hour, hour + 1]
    with open_engine(FeatureConfig(), tmp_path) as engine:
        events = engine.rows(pa.table({"item_id": ["a"] * 5, "micros": pa.array(micros, pa.int64())}))
        rows = engine.arrow(events_by_hour(events)).to_pylist()
    assert {row["hour"]: row["events"] for row in rows} == {23: 1, 22: 1, 0: 1, 1: 2}
