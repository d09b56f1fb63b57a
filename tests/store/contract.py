"""What every live store must do; an implementation's tests inherit this class."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from liverank.errors import DataError
from liverank.events import Impression, Interaction, Item, ShownItem, User
from liverank.store import Erasure, user_hash

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def click(number: int, user: str = "u", item: str | None = None, at: datetime | None = None) -> Interaction:
    return Interaction(
        event_id=f"{user}-{number}",
        user_id=user,
        item_id=item or f"i{number}",
        type="click",
        timestamp=at or NOON + timedelta(seconds=number),
    )


def shown(number: int, user: str = "u", version: str = "1") -> Impression:
    lines = [ShownItem(item_id="a", position=1, score=0.5, propensity=1.0), ShownItem(item_id="b", position=2)]
    return Impression(
        impression_id=f"{user}-m{number}", user_id=user, timestamp=NOON, shown=lines, model_version=version
    )


class StoreContract(ABC):
    """Inherit and say how to open the store at a place."""

    @abstractmethod
    def open(self, folder: Path) -> Any: ...

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        store = self.open(tmp_path)
        yield store
        store.close()

    def test_an_empty_store(self, store: Any) -> None:
        assert len(store.history("u", 50)) == 0
        assert list(store.export()) == []
        assert store.cursor() == 0
        assert store.items() == store.user("u") == []
        assert store.append([]) == 0
        assert store.first_arrival("u") is None

    def test_a_time_that_utc_cannot_tell_is_refused(self, store: Any) -> None:
        east = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
        with pytest.raises(DataError, match="has no equal in UTC"):
            store.append([click(1), click(2, at=east)])
        for late in (msgspec.structs.replace(click(3), received_at=east), Item(item_id="a", available_from=east)):
            with pytest.raises(DataError, match="has no equal in UTC"):
                store.append([click(1), late])
        assert list(store.export()) == []

    def test_history_is_the_latest_events_oldest_first(self, store: Any) -> None:
        assert store.append([click(n) for n in range(10)]) == 10
        history = store.history("u", 3)
        assert list(history.item_ids) == ["i7", "i8", "i9"]
        assert list(history.types) == ["click"] * 3
        assert list(history.timestamps) == [(NOON + timedelta(seconds=n)).timestamp() for n in (7, 8, 9)]

    def test_a_late_event_takes_its_place_in_time(self, store: Any) -> None:
        store.append([click(1), click(3)])
        store.append([click(2)])
        assert list(store.history("u", 50).item_ids) == ["i1", "i2", "i3"]
        assert [record.item_id for _, record in store.export()] == ["i1", "i3", "i2"]

    def test_a_history_before_an_instant_is_strictly_before_it(self, store: Any) -> None:
        store.append([click(n) for n in (1, 2, 3, 4)])
        at = (NOON + timedelta(seconds=3)).timestamp()
        assert list(store.history("u", 50, at).item_ids) == ["i1", "i2"]
        assert list(store.history("u", 1, at).item_ids) == ["i2"]
        assert list(store.history("u", 50, at + 1e-6).item_ids) == ["i1", "i2", "i3"]
        assert len(store.history("u", 50, NOON.timestamp())) == 0

    def test_a_cursor_before_an_arrival(self, store: Any) -> None:
        assert store.cursor_before(0) == 0
        before = time.time()
        store.append([click(1), click(2)])
        assert store.cursor_before(before) == 0
        assert store.cursor_before(time.time() + 60) == store.cursor() == 2

    def test_equal_times_keep_the_order_of_arrival(self, store: Any) -> None:
        store.append([click(n, at=NOON) for n in (5, 3, 9, 1)])
        assert list(store.history("u", 50).item_ids) == ["i5", "i3", "i9", "i1"]
        assert list(store.history("u", 2).item_ids) == ["i9", "i1"]

    def test_times_before_1970_and_other_zones(self, store: Any) -> None:
        old = datetime(1969, 5, 1, tzinfo=UTC)
        east = NOON.astimezone(timezone(timedelta(hours=8)))
        store.append([click(1, at=east), click(2, at=old)])
        assert list(store.history("u", 9).item_ids) == ["i2", "i1"]
        assert store.user("u")[0].timestamp.utcoffset() == timedelta(0)

    def test_a_known_event_changes_nothing(self, store: Any) -> None:
        assert store.append([click(1), click(1), click(2)]) == 2
        assert store.append([click(1, item="other"), click(3)]) == 1
        assert list(store.history("u", 9).item_ids) == ["i1", "i2", "i3"]
        assert store.append([shown(1), shown(1)]) == 1

    def test_the_same_id_may_be_an_event_and_an_impression(self, store: Any) -> None:
        event = click(1)
        impression = shown(1)
        impression = Impression(
            impression_id=event.event_id, user_id="u", timestamp=NOON, shown=impression.shown, model_version="1"
        )
        assert store.append([event, impression]) == 2

    def test_items_and_users_are_replaced_by_newer_ones(self, store: Any) -> None:
        assert store.append([Item(item_id="a", title="old"), Item(item_id="b", title="蓝牙耳机")]) == 2
        assert store.append([Item(item_id="a", title="new"), Item(item_id="b", title="蓝牙耳机")]) == 1
        assert [(item.item_id, item.title) for item in store.items()] == [("b", "蓝牙耳机"), ("a", "new")]
        assert store.append([User(user_id="u", attributes={"x": "1"}), User(user_id="u", attributes={"x": "2"})]) == 2
        assert store.user("u") == [User(user_id="u", attributes={"x": "2"})]

    def test_items_after_a_cursor_are_the_new_and_the_changed(self, store: Any) -> None:
        store.append([Item(item_id="a"), Item(item_id="b"), Item(item_id="c")])
        cursor = store.cursor()
        store.append(
            [click(1), Item(item_id="d"), Item(item_id="b", title="new"), Item(item_id="c"), User(user_id="u")]
        )
        assert [item.item_id for item in store.items(cursor)] == ["d", "b"]
        assert store.items(store.cursor()) == []

    def test_what_readers_say_leaves_a_log_without_a_bound_whole(self, store: Any) -> None:
        store.append([click(n) for n in range(5)])
        store.acknowledge("landing x", 5)
        store.append([click(5)])
        assert (store.trimmed(), len(list(store.export()))) == (0, 6)

    def test_records_come_back_as_they_were(self, store: Any) -> None:
        records = [click(1), shown(1), Item(item_id="a", attributes={"颜色": "蓝"}), User(user_id="u")]
        store.append(records)
        assert [record for _, record in store.export()] == records

    def test_an_export_in_pieces_gives_nothing_twice_and_loses_nothing(self, store: Any) -> None:
        seen: list[str] = []
        cursor = 0
        for start in range(0, 60, 10):
            store.append([click(n) for n in range(start, start + 10)])
            for sequence, record in store.export(cursor, limit=7):
                assert sequence > cursor
                cursor = sequence
                seen.append(record.event_id)
        seen += [record.event_id for _, record in store.export(cursor)]
        assert seen == [f"u-{n}" for n in range(60)]
        assert list(store.export(store.cursor())) == []

    def test_an_export_longer_than_a_page(self, store: Any) -> None:
        store.append([click(n) for n in range(2500)])
        assert [record.event_id for _, record in store.export()] == [f"u-{n}" for n in range(2500)]
        assert len(list(store.export(limit=2100))) == 2100

    def test_records_written_during_an_export_are_in_it(self, store: Any) -> None:
        store.append([click(n) for n in range(1000)])
        export = store.export()
        first = next(export)
        store.append([click(1000)])
        assert 1 + len(list(export)) == 1001
        assert first[1].event_id == "u-0"

    def test_an_upsert_reaches_a_cursor_beyond_the_old_version(self, store: Any) -> None:
        store.append([Item(item_id="a", title="old")])
        cursor = store.cursor()
        store.append([Item(item_id="a", title="new")])
        assert [record.title for _, record in store.export(cursor)] == ["new"]

    def test_erase_leaves_nothing_of_the_user_and_all_of_others(self, store: Any) -> None:
        store.append([click(1), shown(1), User(user_id="u"), click(1, "v"), Item(item_id="a")])
        cursor = store.cursor()
        assert store.erase("u") == 3
        assert store.erase("u") == 0
        assert store.user("u") == []
        assert len(store.history("u", 9)) == 0
        assert [type(record) for _, record in store.export()] == [Interaction, Item]
        assert store.cursor() == cursor
        store.append([click(2)])
        assert [sequence > cursor for sequence, _ in store.export(cursor)] == [True]

    def test_an_erasure_is_remembered_by_hash_and_cursor(self, store: Any) -> None:
        store.append([click(1), click(2), click(1, "v")])
        assert store.erasures() == []
        store.erase("nobody")
        assert store.erasures() == []
        store.erase("u")
        store.erase("v")
        store.append([click(3)])
        assert store.erasures() == [Erasure(1, user_hash("u"), 3), Erasure(2, user_hash("v"), 3)]
        store.erase("u")
        assert store.erasures() == [Erasure(2, user_hash("v"), 3), Erasure(3, user_hash("u"), 4)]

    def test_an_export_says_when_each_record_arrived(self, store: Any) -> None:
        before = time.time()
        store.append([click(1)])
        between = time.time()
        store.append([click(n) for n in range(2, 1500)])
        ((_, first, record), *others) = store.export_arrivals()
        assert record == click(1)
        assert before <= first <= between
        assert all(between <= arrived <= time.time() for _, arrived, _ in others)
        assert [sequence for sequence, _, _ in store.export_arrivals(1498)] == [1499]
        assert len(list(store.export_arrivals(limit=3))) == 3

    def test_an_identity_is_kept_and_its_own(self, store: Any, tmp_path: Path) -> None:
        again, other = self.open(tmp_path), self.open(tmp_path / "other")
        assert len(store.identity()) == 16
        assert again.identity() == store.identity() != other.identity()
        again.close()
        other.close()

    def test_batches_share_a_commit_and_are_counted_apart(self, store: Any) -> None:
        assert store.append_batches([[click(1), click(2)], [click(2)], [], [click(3)]]) == [2, 0, 0, 1]

    def test_a_failed_append_writes_nothing(self, store: Any) -> None:
        with pytest.raises(DataError):
            store.append([click(1), object()])
        assert list(store.export()) == []
        assert store.append([click(1)]) == 1

    def test_reopened(self, store: Any, tmp_path: Path) -> None:
        store.append([click(1), Item(item_id="a")])
        second = self.open(tmp_path)
        assert list(second.history("u", 9).item_ids) == ["i1"]
        assert second.append([click(2)]) == 1
        assert list(store.history("u", 9).item_ids) == ["i1", "i2"]
        second.close()
