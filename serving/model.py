"""The model that serves: where it comes from and what is done to it before its first request."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from liverank.config import RegistryConfig
from liverank.errors import LiverankError, ServingError
from liverank.events import Item
from liverank.ranking.data import Floats, encode
from liverank.ranking.lm.cascade import CascadeRanker
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, Scores
from serving.following import LogFollower

WARM_UP_SIZES = (1, 10, 100, 500)
WARM_UP_EVENTS = 50
WARM_UP_TEXT = "An item that nobody has met"

_log = logging.getLogger(__name__)


class ServedBundle(Protocol):
    """What the server needs of `liverank.ranking.bundle.Bundle`."""

    hash: str
    manifest: dict[str, Any]

    @property
    def primary(self) -> Ranker:
        """The ranker that serves."""
        ...

    @property
    def rankers(self) -> Mapping[str, Ranker]:
        """All rankers by name."""
        ...

    @property
    def catalogue(self) -> Any:
        """The items it knows; `item_ids`, `titles`, `categories` and `is_new` in row order, `index` from id to row."""
        ...

    def add_items(self, items: Sequence[Item], former: Any = None) -> None:
        """Makes new items rankable; a `former` bundle's vectors of their texts are taken where they are the same."""
        ...

    def remember_texts(self, texts: Sequence[str]) -> None:
        """Reads texts of items it does not know, so that scoring them takes no longer than others."""
        ...

    def texts_read(self, texts: Collection[str]) -> set[str]:
        """Those of the texts that it remembers."""
        ...

    def query_scores(self, query: str, candidates: Candidates) -> Scores:
        """How close each candidate's text lies to a query, `[candidates]`; encodes what it has not met."""
        ...

    def vectors(self, item_ids: Sequence[str], texts: Mapping[str, str]) -> Floats | None:
        """Unit vectors of items, known or with a text met lately, `[items, width]`, 0 for others; None without any."""
        ...


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded bundle and the version it goes by in answers and impressions."""

    version: str
    bundle: ServedBundle
    follower: LogFollower | None = None
    """Keeps what the model counts of past days up to the live log; None for a model that counts none."""

    def warm_up(self) -> None:
        """Ranks lists of several sizes, so that no user waits for what a model does only once."""
        ids = list(self.bundle.catalogue.item_ids)[: max(WARM_UP_SIZES)] or ["none"]
        past = ids[:WARM_UP_EVENTS]
        history = History(past, ["click"] * len(past), [float(second) for second in range(len(past))])
        for size in WARM_UP_SIZES:
            self.bundle.primary.score_batch([Request(history, Candidates(ids[:size]), Context(1e9))] * 2)
        self._measure(Request(history, Candidates(ids[: WARM_UP_SIZES[2]]), Context(1e9)))
        self._warm_up_texts()

    def _measure(self, request: Request) -> None:
        """Finds what the language model costs here, so that the first deadline is kept too."""
        primary = self.bundle.primary
        if isinstance(primary, CascadeRanker):
            primary.warm(encode(primary.count.catalogue, request))

    def _warm_up_texts(self) -> None:
        try:
            self.bundle.remember_texts([WARM_UP_TEXT])
        except (ImportError, LiverankError) as problem:
            # Lists of known items need no language model.
            _log.warning("Items that the model has not met will be ranked without their texts: %s", problem)


class ModelSource(Protocol):
    """Finds and loads the model that is to serve now."""

    def load(self) -> ServedModel:
        """Loads it.

        Raises:
            LiverankError: there is none, or it cannot be loaded.
        """
        ...


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A bundle folder, as KServe's storage initialiser leaves one in /mnt/models; its version is the bundle's hash."""

    folder: Path

    def load(self) -> ServedModel:
        """Loads the folder's bundle.

        Raises:
            BundleError: it is missing, altered or of an unknown format.
        """
        from liverank.ranking.bundle_files import load_bundle

        # A registered version holds the bundle beside its evaluation and model card.
        nested = self.folder / "bundle"
        bundle = load_bundle(nested if nested.is_dir() else self.folder)
        return ServedModel(bundle.hash[:12], bundle)


@dataclass(frozen=True, slots=True)
class ChampionSource:
    """The registry's champion; `config` with its tracking URI filled in."""

    config: RegistryConfig

    def load(self) -> ServedModel:
        """Fetches and loads the version that is champion now.

        Raises:
            ServingError: no version is champion yet.
            RegistryError: the registry does not answer or has lost the version's files.
            BundleError: the version's bundle is damaged.
        """
        from liverank import registry
        from liverank.ranking.bundle_files import load_bundle

        champion = registry.champion(self.config)
        if champion is None:
            raise ServingError(
                f"No version of model '{self.config.model_name}' is champion yet.",
                "`liverank run` trains, registers and promotes one.",
            )
        return ServedModel(champion.version, load_bundle(registry.download(self.config, champion.version)))
