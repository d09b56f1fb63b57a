"""The catalogue: all items a ranker knows, as rows that only ever get appended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from liverank import columns as c
from liverank.events import Item
from liverank.ranking.interactions import Floats as Floats
from liverank.ranking.interactions import Rows as Rows
from liverank.ranking.room import Room


def item_text(title: str, text: str, category: str) -> str:
    """What a model reads of an item: title, text and category, as far as there are any."""
    return ". ".join(part for part in (title.strip(), text.strip(), category.strip()) if part)


@dataclass(frozen=True)
class Catalogue:
    """All items a ranker knows, one row each; rows only ever get appended."""

    item_ids: tuple[str, ...]
    titles: tuple[str, ...]
    categories: tuple[str, ...]
    texts: tuple[str, ...]
    """What the models read of each item (`item_text`)."""
    train_events: npt.NDArray[np.int64]
    """Training events of each item, `[items]`."""
    embeddings: Floats | None = None
    """Unit vectors of the texts, `[items, width]`; None before they are made."""
    _room: Room = field(default_factory=Room, init=False, repr=False, compare=False)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id -> row."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def is_new(self) -> npt.NDArray[np.bool_]:
        """Whether an item has no training event but a text to go by, `[items]`."""
        told = np.fromiter(map(bool, self.texts), bool, len(self))
        return told & (np.asarray(self.train_events) == 0)

    @property
    def embedded(self) -> Floats:
        """The embeddings, `[items, width]`.

        Raises:
            ValueError: they are not made yet.
        """
        if self.embeddings is None:
            raise ValueError("the catalogue has no embeddings yet")
        return self.embeddings

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Row of each id, -1 where the item is not in the catalogue."""
        return np.fromiter(map(self.index.get, item_ids, repeat(-1)), np.int64, len(item_ids))

    def with_embeddings(self, embeddings: Floats) -> Catalogue:
        """The same items with their embeddings, `[items, width]`."""
        return replace(self, embeddings=np.ascontiguousarray(embeddings, np.float32))

    def with_items(self, items: Sequence[Item]) -> tuple[Catalogue, Rows]:
        """The catalogue with new items appended and known ones rewritten, and the rows that changed.

        Changed rows have a zero embedding until the caller fills it. Where items are only appended, and to the latest
        catalogue, the embeddings share their memory with it.
        """
        latest = {item.item_id: item for item in items}
        new = [item_id for item_id in latest if item_id not in self.index]
        ids = [*self.item_ids, *new]
        titles = [*self.titles, *[""] * len(new)]
        categories = [*self.categories, *[""] * len(new)]
        texts = [*self.texts, *[""] * len(new)]
        rows = {item_id: len(self) + at for at, item_id in enumerate(new)}
        changed = []
        for item_id, item in latest.items():
            row = rows.get(item_id, self.index.get(item_id, -1))
            text = item_text(item.title, item.text, item.category)
            if row >= len(self) or text != self.texts[row]:
                changed.append(row)
            titles[row], categories[row], texts[row] = item.title, item.category, text
        counts = np.concatenate([self.train_events, np.zeros(len(new), np.int64)])
        names = (tuple(ids), tuple(titles), tuple(categories), tuple(texts))
        grown = Catalogue(*names, counts, self._embeddings_for(len(new), changed))
        # Making the index of all ids again would take longer than all else.
        grown.__dict__.update(index={**self.index, **rows}, _room=self._room)
        return grown, np.asarray(sorted(changed), np.int64)

    def _embeddings_for(self, new: int, changed: Sequence[int]) -> Floats | None:
        """The embeddings with rows for new items, zero where they `changed`."""
        if self.embeddings is None:
            return None
        rewritten = [row for row in changed if row < len(self)]
        # Others may read this catalogue's rows, and know their texts by them.
        grown = self._room.grown(self.embeddings, new, apart=bool(rewritten))
        grown[rewritten] = 0
        return grown


def catalogue_of(items: pa.Table) -> Catalogue:
    """A catalogue from a table in the item contract (a column `train_events` is used where there is one)."""
    title, text, category = (items[name].fill_null("").to_pylist() for name in (c.TITLE, c.TEXT, c.CATEGORY))
    known = "train_events" in items.column_names
    counts = items["train_events"].to_numpy() if known else np.zeros(items.num_rows)
    return Catalogue(
        tuple(items[c.ITEM_ID].to_pylist()),
        tuple(title),
        tuple(category),
        tuple(item_text(*parts) for parts in zip(title, text, category, strict=True)),
        np.asarray(counts, np.int64),
    )
