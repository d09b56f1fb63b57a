"""Where a live store is, and that its password is nowhere else."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from liverank.config import load_config
from liverank.config.store_place import VARIABLE, from_environment, with_password, without_password
from liverank.errors import ConfigError, StoreError
from liverank.store import open_store, store_exists
from liverank.store.redis_link import weak_promises
from tests.store.contract import click
from tests.store.redis_server import free_port, redis_server

PASSWORD = "hunter2-s3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{PASSWORD}@cache:6379/1", "redis://cache:6379/1"),
        (f"rediss://anna:{PASSWORD}@cache/0", "rediss://anna@cache/0"),
        (f"unix:///run/redis.sock?db=2&password={PASSWORD}", "unix:///run/redis.sock?db=2"),
        (f"redis://cache?password={PASSWORD}", "redis://cache"),
        (f"redis://cache/1?password={PASSWORD}&ssl_cert_reqs=none", "redis://cache/1?ssl_cert_reqs=none"),
        (f"redis://cache/1?db=1&password={PASSWORD}", "redis://cache/1?db=1"),
        # A password whose marks are not escaped has no meaning, and must not be told all the same.
        (f"redis://:{PASSWORD}#/?@{PASSWORD}@cache:6379/1", "redis://cache:6379/1"),
        ("redis://cache:6379/1", "redis://cache:6379/1"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert from_environment({VARIABLE: url}) == shown


@pytest.mark.parametrize("place", ["redis://cache:6379/1", "redis://cache:6379/1/", "redis://anna@cache:6379/1"])
def test_the_environment_knows_the_password_of_the_store_that_it_names(place: str) -> None:
    known = f"redis://anna:{PASSWORD}@cache:6379/1"
    assert with_password(place, {VARIABLE: known}) == known


@pytest.mark.parametrize("place", ["redis://cache:6379/2", "redis://elsewhere:6379/1", "redis://ben@cache:6379/1"])
def test_the_password_of_one_store_is_not_sent_to_another(place: str) -> None:
    assert with_password(place, {VARIABLE: f"redis://anna:{PASSWORD}@cache:6379/1"}) == place


@pytest.mark.parametrize("key", ["serving.store", "data.live_store"])
@pytest.mark.parametrize("url", [f"redis://:{PASSWORD}@cache", f"redis://cache?password={PASSWORD}"])
def test_a_password_in_the_configuration_is_refused_and_not_repeated(key: str, url: str) -> None:
    with pytest.raises(ConfigError, match=VARIABLE) as refused:
        load_config(None, {key: url})
    assert PASSWORD not in str(refused.value)


def test_the_configuration_says_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    config = load_config(None, {"workspace": str(tmp_path)})
    assert config.store_place == str(tmp_path / "live.db")
    monkeypatch.setenv(VARIABLE, f"redis://:{PASSWORD}@cache:6379/1")
    assert config.store_place == config.resolved().serving.store == "redis://cache:6379/1"
    monkeypatch.setenv(VARIABLE, f"memcached://:{PASSWORD}@cache")
    with pytest.raises(ConfigError, match="no URL of a Redis") as refused:
        _ = config.store_place
    assert PASSWORD not in str(refused.value)
    named = load_config(None, {"workspace": str(tmp_path), "serving.store": str(tmp_path / "own.db")})
    assert named.store_place == str(tmp_path / "own.db")


def test_a_store_exists_where_its_file_has_something_in_it(tmp_path: Path) -> None:
    assert not store_exists(tmp_path / "live.db")
    (tmp_path / "live.db").touch()
    assert not store_exists(tmp_path / "live.db")
    open_store(tmp_path / "live.db").close()
    assert store_exists(tmp_path / "live.db")
    assert store_exists("redis://nobody/0")


@pytest.mark.parametrize("url", ["redis://cache:port/1", "redis://cache:6379/1?socket_timeout=soon"])
def test_a_url_without_a_meaning_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_store(url)


def test_a_client_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"Install liverank\[redis\]"):
        open_store("redis://127.0.0.1/0")


def test_nobody_there_is_told() -> None:
    with pytest.raises(StoreError, match=r"redis://127\.0\.0\.1:\d+/0 cannot be reached: .*refused"):
        open_store(f"redis://127.0.0.1:{free_port()}/0")


def test_a_password_comes_from_the_environment_and_goes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), redis_server(tmp_path, "--requirepass", PASSWORD) as server:
        monkeypatch.delenv(VARIABLE, raising=False)
        with pytest.raises(StoreError, match=rf"lets nobody in: .*{VARIABLE}"):
            open_store(server.url())
        monkeypatch.setenv(VARIABLE, server.url().replace("://", f"://:{PASSWORD}wrong@"))
        with pytest.raises(StoreError, match="lets nobody in") as refused:
            open_store(server.url())
        monkeypatch.setenv(VARIABLE, server.url().replace("://", f"://:{PASSWORD}@"))
        store = open_store(server.url())
        assert store.append([click(1)]) == 1
        server.kill()
        with pytest.raises(StoreError, match="cannot be reached") as lost:
            store.append([click(2)])
        assert store.place == server.url()
        store.close()
    assert PASSWORD not in f"{refused.value} {lost.value} {caplog.text}"
    assert "appendonly is off" in caplog.text


def test_what_settings_do_not_promise() -> None:
    assert weak_promises("yes", "always", "0", "allkeys-lru") == []
    assert weak_promises("yes", "always", "1048576", "noeviction") == []
    (one,) = weak_promises("yes", "everysec", "0", "noeviction")
    assert "a second or two of acknowledged records" in one
    (one,) = weak_promises("yes", "no", "0", "noeviction")
    assert "many acknowledged records" in one
    off, evicting = weak_promises("no", "always", "1048576", "volatile-lru")
    assert "appendonly is off" in off
    assert "set noeviction" in evicting
