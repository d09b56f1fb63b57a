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


def learned(items: NewItems, told: tuple[list[Item], int]) -> list[Item]:
    """What was told, which the model has learned now."""
    items.reached(told[1])
    return told[0]


def test_each_item_of_others_is_told_once(store: LiveStore) -> None:
    old, other, newer = Item(item_id="a"), Item(item_id="b"), Item(item_id="a", title="new")
    store.append([old])
    items = NewItems(store)
    assert learned(items, items.all()) == [old]
    assert learned(items, items.unseen()) == []
    store.append([click(1), other])
    assert learned(items, items.unseen()) == [other]
    store.append([newer])
    assert learned(items, items.unseen()) == [newer]
    assert learned(items, items.unseen()) == []


def test_what_was_not_learned_is_told_again(store: LiveStore) -> None:
    items = NewItems(store)
    learned(items, items.all())
    store.append([Item(item_id="a")])
    assert items.unseen()[0] == [Item(item_id="a")]
    store.append([Item(item_id="b")])
    items.all()  # for a model that could not be loaded
    assert learned(items, items.unseen()) == [Item(item_id="a"), Item(item_id="b")]
    assert items.unseen()[0] == []


def test_what_the_server_took_itself_is_not_told_unless_another_changed_it(store: LiveStore) -> None:
    items = NewItems(store)
    learned(items, items.all())
    own, changed = Item(item_id="a"), Item(item_id="b")
    store.append([own, changed])
    items.took([own, changed])
    store.append([Item(item_id="b", title="by another")])
    assert learned(items, items.unseen()) == [Item(item_id="b", title="by another")]
