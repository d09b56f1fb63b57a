"""A dataset folder as the protocols read it: items and events in columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liverank.config.data import DataConfig
from liverank.data.dataset import SOURCE_FILE, read_source
from liverank.data.ingest import ingest
from liverank.errors import DataError
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.data import Events, events_of
from liverank.ranking.weighed import read_weighed

Mask = npt.NDArray[np.bool_]
RENUMBERING_SEED = 101
USERS_SEED = 11
TIES_SEED = 13
APART_SECONDS = 1e-6


@dataclass(frozen=True)
class Log:
    """Items and events of a data set; the events by user and time, equal times in the order of the file."""

    catalogue: Catalogue
    events: Events
    label_types: tuple[str, ...]
    """Types of event that can be what is looked for."""
    name: str
    hash: str

    @property
    def labels(self) -> Mask:
        """Whether each event can be what is looked for: of a label type, and not against the item, `[events]`."""
        types = np.asarray([name in self.label_types for name in self.events.types], bool)
        return types[self.events.type] & (self.events.weight > 0)

    def where(self, mask: Mask) -> Log:
        """The same items with the events where `mask` holds."""
        return replace(self, events=self.events.where(mask))

    def user_starts(self) -> npt.NDArray[np.int64]:
        """First event of each user, and the number of events at the end, `[users + 1]`."""
        return np.searchsorted(self.events.user, np.arange(len(self.events.users) + 1)).astype(np.int64)

    def renumbered(self, seed: int = RENUMBERING_SEED) -> Log:
        """The items in a random order under ids that say only their places: what is gained from ids is gone."""
        order = np.random.default_rng(seed).permutation(len(self.catalogue))
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        old = self.catalogue
        catalogue = Catalogue(
            tuple(f"{row:08d}" for row in range(len(old))),
            _taken(old.titles, order),
            _taken(old.categories, order),
            _taken(old.texts, order),
            old.train_events[order],
        )
        events = replace(self.events, item=place[self.events.item])
        return replace(self, catalogue=catalogue, events=events, hash=f"{self.hash}/renumbered {seed}")

    def shuffled_ties(self, seed: int = TIES_SEED) -> Log:
        """Each user's events of one instant in a random order: what is gained from the order of the file is gone."""
        events = self.events
        order = np.lexsort((np.random.default_rng(seed).random(len(events)), events.timestamp, events.user))
        return replace(self, events=events.where(order.astype(np.int64)), hash=f"{self.hash}/ties {seed}")

    def in_order(self) -> Log:
        """Each user's events one after the other: those of one instant follow each other a microsecond apart."""
        events, starts = self.events, self.user_starts()
        times = events.timestamp.copy()
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            if (np.diff(times[start:end]) == 0).any():
                added = APART_SECONDS * np.arange(end - start)
                times[start:end] = np.maximum.accumulate(times[start:end] - added) + added
        if (times == events.timestamp).all():
            return self
        return replace(self, events=replace(events, timestamp=times), hash=f"{self.hash}/in order")

    def sampled(self, users: int, seed: int = USERS_SEED) -> Log:
        """All events of so many users, drawn at random; all items stay."""
        if not users or users >= len(self.events.users):
            return self
        chosen = np.zeros(len(self.events.users), bool)
        chosen[np.random.default_rng(seed).choice(len(chosen), users, replace=False)] = True
        return replace(self.where(chosen[self.events.user]), hash=f"{self.hash}/{users} users {seed}")


def _taken(names: Sequence[str], order: npt.NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(names[at] for at in order.tolist())


def dataset_folder(source: str, config: DataConfig, aside: Path) -> Path:
    """The dataset folder at `source`, or `aside` after ingesting whatever else is there.

    Raises:
        DataError: there is nothing that ingest can read.
    """
    folder = Path(source)
    if (folder / SOURCE_FILE).is_file() and (folder / "interactions.parquet").is_file():
        return folder
    ingest(config.model_copy(update={"source": source, "sources": (), "live_store": ""}), aside)
    return aside


def read_log(dataset: Path, config: DataConfig) -> Log:
    """Reads the items and interactions of a dataset folder; an item that only events know has no text.

    Weights of types are the configuration's; a type without one counts 0, as in the features step.

    Raises:
        DataError: a table is missing or unreadable, or there is no event of a label type.
    """
    catalogue, interactions = read_weighed(dataset, config)
    events = events_of(interactions, catalogue)
    facts = read_source(dataset)
    log = Log(catalogue, events, config.label_types, str(facts.get("source", dataset.name)), _hash(facts, config))
    if not log.labels.any():
        raise DataError(
            f"{dataset} holds no interaction to look for: none is of {', '.join(config.label_types)}.",
            "Give more interactions, or name the types that count in data.label_types.",
        )
    return log


def _hash(facts: dict[str, object], config: DataConfig) -> str:
    return json.dumps([facts.get("hash", ""), config.event_weights, config.label_types])
