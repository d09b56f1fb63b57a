from __future__ import annotations

from benchmarks.latency import run
from tests.serving.conftest import Server


def test_it_measures_a_server(server: Server) -> None:
    found = run(server.url, candidates=20, rate=50, seconds=0.6, items=[f"i{number}" for number in range(40)], users=3)
    assert found["count"] == 30
    assert found["errors"] == found["degraded"] == 0
    assert 0 < found["server_total_p50"] < found["p50"] <= found["p95"] <= found["p99"] <= found["max"]


def test_it_counts_errors(server: Server) -> None:
    found = run(server.url, candidates=51, rate=50, seconds=0.2, users=1)
    assert found["errors"] == found["count"] == 10
