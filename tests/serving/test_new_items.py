from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liverank.events import Item
from liverank.store import LiveStore, open_store
from serving.new_items import NewItems
from tests.store.contract import click


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LiveStore]:
    opened = open_store(tmp_path / "live.db")
    yield opened
    opened.close()


def test_each_item_of_others_is_told_once(store: LiveStore) -> None:
    old, other, newer = Item(item_id="a"), Item(item_id="b"), Item(item_id="a", title="new")
    store.append([old])
    items = NewItems(store)
    assert items.all() == [old]
    assert items.unseen() == []
    store.append([click(1), other])
    assert items.unseen() == [other]
    store.append([newer])
    assert items.unseen() == [newer]
    assert items.unseen() == []


def test_what_the_server_took_itself_is_not_told_unless_another_changed_it(store: LiveStore) -> None:
    items = NewItems(store)
    items.all()
    own, changed = Item(item_id="a"), Item(item_id="b")
    store.append([own, changed])
    items.took([own, changed])
    store.append([Item(item_id="b", title="by another")])
    assert items.unseen() == [Item(item_id="b", title="by another")]
