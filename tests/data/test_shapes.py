"""Shapes: their figures by hand, and the presets within stated bands of what real sets look like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from liverank.data.presets import PRESETS, preset
from liverank.data.shapes import Shapes, gini, shapes, shapes_of_dataset, table, zipf_slope
from liverank.data.synthetic import generate
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.errors import ConfigError

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_gini_by_hand():
    assert gini(np.array([3.0, 3.0, 3.0])) == 0
    assert gini(np.array([0.0, 0.0, 6.0])) == pytest.approx(2 / 3)
    # All pairs of 1, 2, 3: |differences| sum to 8 over 2 * 9 * 2.
    assert gini(np.array([2.0, 3.0, 1.0])) == pytest.approx(8 / 36)


def test_the_zipf_slope_is_the_power():
    ranks = np.arange(1, 1001.0)
    assert zipf_slope(1e6 * ranks**-0.8) == pytest.approx(-0.8)


def small_log():
    """Ann: a and b on day 0, a and c on day 2; Bob: d on day 10 alone. Time's last tenth is day 9 to 10."""
    rows = [
        ("ann", "a", "1", 0),
        ("ann", "b", "1", 0),
        ("ann", "a", "2", 2),
        ("ann", "c", "2", 2),
        ("bob", "d", "3", 10),
    ]
    columns = list(zip(*rows, strict=True))
    times = pa.array([START + timedelta(days=day) for day in columns[3]], pa.timestamp("us", tz="UTC"))
    return pa.table({"u": columns[0], "i": columns[1], "b": columns[2], "t": times})


def test_every_figure_of_a_small_log_by_hand():
    with duckdb.connect() as connection:
        connection.register("log", small_log())
        connection.register("names", pa.table({"title": ["red tea pot", "cup", "", "mug"]}))
        found = shapes(connection, "log", "names")
    assert (found.users, found.items, found.events) == (2, 4, 5)
    assert found.events_per_user_p50 == 2.5
    assert found.item_gini == pytest.approx(gini(np.array([2.0, 1, 1, 1])))
    assert found.top_percent_share == pytest.approx(2 / 5)
    assert (found.baskets_per_user_p50, found.basket_items_p50) == (1.5, 2)
    assert found.repeat_share == 0.5, "of a and c in Ann's second basket, a was in the first"
    assert found.days_between_p50 == 2
    assert (found.new_item_share, found.new_user_share) == (1, 1)
    assert found.title_words_p50 == 1


def test_without_times_and_texts_there_is_less_to_say():
    log = small_log().set_column(3, "t", pa.nulls(5, pa.timestamp("us", tz="UTC")))
    with duckdb.connect() as connection:
        connection.register("log", log)
        found = shapes(connection, "log")
    assert found.days_between_p50 is found.new_item_share is found.new_user_share is found.title_words_p50 is None
    assert found.repeat_share == 0.5
    assert "| days between p50 | - |" in table({"small": found})


# Measured by benchmarks/shapes.py on UCI Online Retail, Amazon Video Games (LlamaRec's cut) and the MIND sample; each
# band is the figure and by how much the preset may miss it: a factor, or for shares a difference.
UCI = {
    "events_per_user_p10": (7, 1.6),
    "events_per_user_p50": (41, 1.4),
    "events_per_user_p90": (208, 1.4),
    "events_per_user_p99": (668, 1.6),
    "top_percent_share": (0.096, 0.05),
    "item_gini": (0.64, 0.25),
    "baskets_per_user_p50": (2, 1.6),
    "baskets_per_user_p90": (9, 1.4),
    "basket_items_p50": (15, 1.3),
    "basket_items_p90": (46, 1.4),
    "repeat_share": (0.422, 0.1),
    "days_between_p50": (22, 2.0),
    "new_item_share": (0.010, 0.01),
}
GAMES = {
    "events_per_user_p10": (5, 2.0),
    "events_per_user_p50": (7, 1.4),
    "events_per_user_p90": (16, 1.4),
    "events_per_user_p99": (51, 1.4),
    "top_percent_share": (0.107, 0.05),
    "item_gini": (0.51, 0.1),
    "zipf_slope": (-0.48, 1.4),
    "repeat_share": (0.0, 0.02),
}
MIND = {
    "events_per_user_p10": (4, 2.0),
    "events_per_user_p50": (18, 1.4),
    "events_per_user_p90": (70, 1.4),
    "events_per_user_p99": (182, 1.6),
    "top_percent_share": (0.201, 0.08),
    "zipf_slope": (-0.63, 1.4),
    "repeat_share": (0.015, 0.02),
}


def misses(found: Shapes, bands: dict[str, tuple[float, float]]) -> list[str]:
    told = []
    for name, (real, slack) in bands.items():
        value = getattr(found, name)
        near = abs(value - real) <= slack if slack < 1 else 1 / slack <= value / real <= slack
        if not near:
            told.append(f"{name}: {value:.3g} is not near {real} ({slack})")
    return told


CASES = [("shop", "purchase", UCI), ("reviews", "purchase", GAMES), ("feed", "click", MIND)]


@pytest.mark.parametrize(("name", "kind", "bands"), CASES)
def test_presets_take_after_real_sets(tmp_path: Path, name, kind, bands):
    generate(SyntheticSettings(**preset(name)), tmp_path)
    assert misses(shapes_of_dataset(tmp_path, (kind,)), bands) == []


def test_the_bands_would_see_another_world(world):
    found = shapes_of_dataset(world, ("click",))
    assert all(len(misses(found, bands)) >= 4 for bands in (UCI, GAMES, MIND))


def test_an_unknown_preset_is_refused():
    assert set(PRESETS) == {name for name, _, _ in CASES}
    assert preset("") == {}
    with pytest.raises(ConfigError, match="no preset shops"):
        preset("shops")
