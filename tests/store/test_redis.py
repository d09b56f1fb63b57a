from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from liverank.errors import DataError, StoreError
from liverank.events import Item
from liverank.store import Erasure, LiveStore, open_store, user_hash
from liverank.store.redis_store import RedisStore
from tests.store.contract import StoreContract, click, shown
from tests.store.redis_server import PATIENT, RedisServer, raw, redis_server
from tests.store.test_sqlite import writer


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis: RedisServer) -> None:
        self.server = redis

    def open(self, folder: Path) -> LiveStore:
        return open_store(self.server.url(folder), bounds=PATIENT)


@pytest.fixture
def store(redis: RedisServer, tmp_path: Path) -> Iterator[RedisStore]:
    opened = opening(redis.url(tmp_path))
    yield opened
    opened.close()


def opening(url: str, **bounds: float) -> RedisStore:
    opened = open_store(url, bounds=PATIENT.model_copy(update=bounds))
    assert isinstance(opened, RedisStore)
    return opened


def test_every_acknowledged_event_survives_kill_9_of_writer_and_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        process = writer(server.url(), "a", 1_000_000)
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(200)]
        server.kill()
        process.wait()
        acknowledged += [line.strip() for line in process.stdout.read().split("\n") if line.strip()]
        server.start()
        store = opening(server.url())
        kept = [record.event_id for _, record in store.export()]  # type: ignore[union-attr]
        assert kept[: len(acknowledged)] == acknowledged
        assert len(kept) - len(acknowledged) <= 1
        assert store.append([click(1)]) == 1
        store.close()


def test_two_processes_write_while_a_third_reads(redis: RedisServer, tmp_path: Path) -> None:
    store = opening(redis.url(tmp_path))
    processes = [writer(redis.url(tmp_path), name, 150) for name in "ab"]
    cursor, seen = 0, []
    while len(seen) < 300:
        for sequence, record in store.export(cursor):
            assert sequence == cursor + 1
            cursor = sequence
            seen.append(record.event_id)  # type: ignore[union-attr]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(set(seen)) == 300
    assert list(store.history("a", 2).item_ids) == ["i148", "i149"]
    store.close()
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


def test_threads_write_and_read(store: RedisStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda name: sum(store.append([click(n, name)]) for n in range(30)), "abcd"))
        lengths = list(pool.map(lambda name: len(store.history(name, 50)), "abcd"))
    assert (counts, lengths, store.cursor()) == ([30] * 4, [30] * 4, 120)


def test_the_oldest_events_leave_a_history_that_is_full_and_stay_in_the_log(redis: RedisServer, tmp_path: Path) -> None:
    store = opening(redis.url(tmp_path), history_events=3)
    store.append([click(n) for n in (5, 6, 7, 8)])
    store.append([click(1)])
    assert list(store.history("u", 50).item_ids) == ["i6", "i7", "i8"]
    assert len(store.user("u")) == 5
    store.close()


def test_a_history_ends_some_days_after_its_last_event(redis: RedisServer, tmp_path: Path) -> None:
    store = opening(redis.url(tmp_path), history_days=2)
    store.append([click(1), shown(1)])
    left = raw(store).pttl("liverank:history:u") / 86_400_000
    assert 1.9 < left <= 2
    raw(store).pexpire("liverank:history:u", 1)
    while raw(store).exists("liverank:history:u"):
        time.sleep(0.01)
    assert len(store.history("u", 9)) == 0
    assert len(store.user("u")) == 2
    store.append([click(2)])
    assert list(store.history("u", 9).item_ids) == ["i2"]
    store.close()


class Trimming:
    """A store whose log is bounded to ten, with two readers."""

    def __init__(self, url: str) -> None:
        self.store = opening(url, log_records=10)

    def log(self) -> list[str]:
        return [getattr(record, "event_id", None) or record.item_id for _, record in self.store.export()]  # type: ignore[union-attr]


@pytest.fixture
def bounded(redis: RedisServer, tmp_path: Path) -> Iterator[Trimming]:
    opened = Trimming(redis.url(tmp_path))
    opened.store.append([Item(item_id="a"), *(click(n) for n in range(20))])
    yield opened
    opened.store.close()


def test_a_log_beyond_its_bound_keeps_what_no_copy_has(bounded: Trimming, caplog: pytest.LogCaptureFixture) -> None:
    store = bounded.store
    store.acknowledge("monitor", 21)
    with caplog.at_level(logging.WARNING):
        store._reminded = -1e9
        store.append([click(20)])
        store.append([click(21)])
    assert len(bounded.log()) == 23
    assert store.trimmed() == 0
    (said,) = [record.message for record in caplog.records]
    assert "holds 11 records more than store.log_records" in said
    assert "monitor at 21" in said


def test_a_log_beyond_its_bound_loses_the_oldest_that_all_readers_have(bounded: Trimming) -> None:
    store = bounded.store
    store.acknowledge("landing x", 9)
    store.acknowledge("monitor", 6)
    store.append([click(20)])
    # The item is no event, and stays; of the events those with the numbers 2 to 6 have been read by both.
    assert bounded.log() == ["a", *(f"u-{n}" for n in range(5, 21))]
    assert store.trimmed() == 6
    store.acknowledge("monitor", 22)
    store.acknowledge("landing x", 22)
    store.append([click(21)])
    assert bounded.log() == ["a", *(f"u-{n}" for n in range(12, 22))]
    assert [sequence for sequence, _ in store.export()][:2] == [1, 14]
    assert len(store.user("u")) == 10
    assert len(store.history("u", 50)) == 22
    assert [item.item_id for item in store.items()] == ["a"]
    assert store.cursor() == 23


def test_an_erasure_is_remembered_though_the_log_has_let_go_of_the_user(bounded: Trimming) -> None:
    store = bounded.store
    store.acknowledge("landing x", 21)
    store.append([click(n, "v") for n in range(10)])
    assert store.user("u") == []
    assert store.erase("u") == 0
    assert len(store.history("u", 9)) == 0
    assert store.erasures() == [Erasure(1, user_hash("u"), 31)]


def test_erased_bytes_are_off_the_disk_and_out_of_memory(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        store = opening(server.url())
        name = "user-to-forget-whose-id-is-longer-than-thirty-one-bytes"
        store.append([click(n, name) for n in range(500)] + [shown(1, name), click(1, "other")])
        assert any(name.encode() in content for content in server.files())
        assert store.erase(name) == 501
        while any(name.encode() in content for content in server.files()):
            time.sleep(0.05)  # Redis writes its file anew in the background
        assert [key for key in raw(store).scan_iter() if name.encode() in key] == []
        assert len(store.history("other", 9)) == 1
        store.close()


def test_a_redis_that_lost_everything_is_another_store(store: RedisStore) -> None:
    store.append([click(1)])
    identity = store.identity()
    raw(store).flushdb()
    assert store.identity() != identity
    assert store.append([click(1)]) == 1


def test_scripts_are_sent_again_to_a_redis_that_has_forgotten_them(store: RedisStore) -> None:
    store.append([click(1)])
    raw(store).script_flush()
    assert store.append([click(2)]) == 1


def test_a_store_of_a_later_version_is_refused(store: RedisStore, redis: RedisServer, tmp_path: Path) -> None:
    raw(store).hset("liverank:meta", "version", "2")
    with pytest.raises(DataError, match="holds a live store of version 2, not 1"):
        opening(redis.url(tmp_path))


def test_a_full_redis_writes_nothing_of_a_batch_and_says_so(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--maxmemory", "3mb") as server:
        store = opening(server.url())
        batches = ([click(n) for n in range(start, start + 1000)] for start in range(0, 100_000, 1000))
        with pytest.raises(StoreError, match=r"refuses: .*maxmemory"):
            all(map(store.append, batches))
        assert store.cursor() % 1000 == 0
        assert store.cursor() == sum(1 for _ in store.export()) > 0
        store.close()
