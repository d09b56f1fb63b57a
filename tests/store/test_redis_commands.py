"""The commands that open the live store do so where it is a Redis, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from liverank.cli.main import app, register_commands
from liverank.config.store_place import VARIABLE
from liverank.store import open_store
from tests.store.contract import click, shown
from tests.store.redis_server import PATIENT, RedisServer

register_commands()
SOURCE = "event_id,user_id,item_id,type,timestamp\n" + "".join(
    f"e{number},u,i{number},click,2026-03-01T12:00:{number:02d}Z\n" for number in range(20)
)


@pytest.mark.parametrize("named", ["in the configuration", "in the environment"])
def test_backfill_monitor_and_check_skew(
    named: str, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, url = tmp_path / "events.csv", redis.url(tmp_path)
    source.write_text(SOURCE)
    keys = ["-s", f"workspace={tmp_path / 'ws'}", "-s", "store.write_timeout_ms=30000"]
    if named == "in the environment":
        monkeypatch.setenv(VARIABLE, url)
    else:
        keys += ["-s", f"serving.store={url}"]

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, *keys])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    run("backfill", "--data", str(source))
    store = open_store(url, bounds=PATIENT)
    assert list(store.history("u", 2).item_ids) == ["i18", "i19"]
    store.append([shown(1), click(99)])
    store.close()
    assert "impressions" in run("monitor", "--no-trigger")
    run("data", "check-skew", "--out", str(tmp_path / "skew.json"))
    assert json.loads((tmp_path / "skew.json").read_text())["impressions"] == 1
    assert not (tmp_path / "ws" / "live.db").exists()
