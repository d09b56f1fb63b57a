"""The benchmark of the live store times real servers, and its page says what was measured."""

from __future__ import annotations

import shutil

import pytest

from benchmarks import read_your_writes
from benchmarks.latency import Link
from benchmarks.read_your_writes import ACROSS, REDIS, SQLITE, Way, part


def test_each_way_shows_each_event_in_the_first_ranking(tmp_path, monkeypatch):
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: install Debian's package redis-server")
    monkeypatch.setattr(read_your_writes, "WARM_UP", 1)
    text = read_your_writes.run(tmp_path, 3)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| SQLite", "| Redis"))]
    assert [row[0].removeprefix("| ") for row in rows] == [SQLITE, REDIS, ACROSS]
    assert all(float(cell) > 0 for row in rows for cell in row[1:5])
    assert [row[5] for row in rows] == ["0 |"] * 3
    assert "3 events each way" in text


def test_the_page_holds_the_quantiles_and_the_worst_way_against_the_bar():
    ways = [Way(name, Link("http://none"), Link("http://none")) for name in (SQLITE, REDIS)]
    for at, way in enumerate(ways):
        way.acknowledged = [float(number) for number in range(100)]
        way.shown = [number * (1.0 + at) for number in range(100)]
        way.rankings = [1] * 97 + [2] * 3
    text = part("where\n", "Redis 7", ways)
    assert f"| {SQLITE} | 50.00 | 99.00 | 50.00 | 99.00 | 3 |" in text
    assert f"| {REDIS} | 50.00 | 99.00 | 100.00 | 198.00 | 3 |" in text
    assert f"| shown, p99 ({REDIS}) | 198.0 ms | 10 ms | **missed** |" in text


def test_a_machine_without_redis_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(read_your_writes.NoRedis, match="redis-server"):
        read_your_writes.run(tmp_path, 1)
