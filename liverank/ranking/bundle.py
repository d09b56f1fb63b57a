"""A loaded model: the rankers that answer, and the catalogue that they follow as it grows."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import numpy as np

from liverank.events import Item
from liverank.ranking.data import Catalogue, Floats, Rows, encode
from liverank.ranking.protocol import Candidates, Context, History, Ranker, Request, Scores
from liverank.text import LanguageModel

_MADE_OF_OTHERS = ("blend", "cascade")
"""Rankers over other rankers, each after those that it is made of."""
_READS_TEXTS = ("count", "interest")
"""Rankers that make something of their own of a text."""


class BundledRanker(Ranker, Protocol):
    """A ranker that can follow its catalogue as that grows."""

    def on(self, catalogue: Catalogue, changed: Rows) -> Self:
        """The same ranker over a catalogue with appended items and rewritten rows `changed`."""
        ...


Rankers = dict[str, BundledRanker]


@dataclass(frozen=True)
class _State:
    catalogue: Catalogue
    rankers: Rankers


class Bundle:
    """A loaded model: its catalogue, its rankers by name, and what is known of where it came from.

    `catalogue`, `rankers` and `primary` are read afresh for each batch: `add_items` swaps them as one.
    """

    def __init__(
        self, catalogue: Catalogue, rankers: Rankers, encoder: LanguageModel, manifest: dict[str, Any]
    ) -> None:
        self._state = _State(catalogue, rankers)
        self._encoder = encoder
        self._adding = threading.Lock()
        self.manifest = manifest
        self.hash = bundle_hash(manifest)

    @property
    def catalogue(self) -> Catalogue:
        """The items it knows now."""
        return self._state.catalogue

    @property
    def rankers(self) -> Mapping[str, Ranker]:
        """Name -> ranker: `blend`, `count`, `popularity`, `zero-shot` and, where fitted, the others of the blend.

        Where a language model re-ranks the blend's best, it is `lm`, and both together are `cascade`.
        """
        return cast(Mapping[str, Ranker], self._state.rankers)

    @property
    def primary(self) -> Ranker:
        """The ranker that serves: the cascade where there is one, else the blend."""
        rankers = self._state.rankers
        return rankers["cascade"] if "cascade" in rankers else rankers["blend"]

    def add_items(self, items: Sequence[Item], former: Bundle | None = None) -> None:
        """Makes new items rankable and takes changed texts over, at once; safe beside scoring in other threads.

        Args:
            items: new ones, and new versions of known ones.
            former: a bundle that this one takes over from: its language model and its vectors of the same texts are
                taken, where the two models are the same, so that a swap has neither to load nor to encode again.
        """
        with self._adding:
            alike = former if former is not None and self._encoder.share(former._encoder) else None
            catalogue, changed = self._state.catalogue.with_items(items)
            if len(changed) and catalogue.embeddings is not None:
                texts = [catalogue.texts[row] for row in changed]
                catalogue.embeddings[changed] = self._embedded(texts, alike)
            rankers: Rankers = {
                name: ranker.on(catalogue, changed)
                for name, ranker in self._state.rankers.items()
                if name not in _MADE_OF_OTHERS
            }
            if "features" in rankers:
                rankers["features"] = cast(Any, rankers["features"]).knowing(items)
            for name in _MADE_OF_OTHERS:
                if name in self._state.rankers:
                    rankers[name] = cast(Any, self._state.rankers[name]).over(rankers)
            self._state = _State(catalogue, rankers)

    def _embedded(self, texts: Sequence[str], alike: Bundle | None) -> Floats:
        """Vectors of texts, `[texts, width]`; `alike` has some that the same language model made."""
        if alike is None:
            return self._encoder.encode(texts)
        had, wanted = alike.catalogue, set(texts)
        rows = [] if had.embeddings is None else [row for row, text in enumerate(had.texts) if text in wanted]
        vectors = {had.texts[row]: had.embedded[row] for row in rows}
        new = [text for text in wanted if text not in vectors]
        vectors.update(zip(new, self._encoder.encode(new), strict=True))
        return np.stack([vectors[text] for text in texts])

    def remember_texts(self, texts: Sequence[str]) -> None:
        """Reads texts of items outside the catalogue ahead of their scoring, which then finds them remembered.

        Raises:
            LanguageModelError: the language model cannot be had.
        """
        self._encoder.encode_remembered(texts)
        for ranker in self._readers():
            ranker.remember_texts(texts)

    def texts_read(self, texts: Collection[str]) -> set[str]:
        """Those of the texts that `remember_texts` has met lately; takes microseconds."""
        found = set(self._encoder.remembered(texts))
        for ranker in self._readers():
            found &= ranker.texts_read(texts)
        return found

    def _readers(self) -> Iterator[Any]:
        rankers = self._state.rankers
        return (cast(Any, rankers[name]) for name in _READS_TEXTS if name in rankers)

    def query_scores(self, query: str, candidates: Candidates) -> Scores:
        """Cosine of a query's embedding and each candidate's, `[candidates]`; 0 for a candidate without a text.

        Raises:
            LanguageModelError: the language model cannot be had.
        """
        state = self._state
        request = encode(state.catalogue, Request(History(), candidates, Context(0.0)))
        return cast(Any, state.rankers["zero-shot"]).query_scores(query, request)

    def vectors(self, item_ids: Sequence[str], texts: Mapping[str, str]) -> Floats | None:
        """Unit vectors of items' texts, `[items, width]`, as far as they are at hand; None where there are none at all.

        The catalogue's, else those of `texts` (item id -> text) that `remember_texts` has met lately, else 0: nothing
        is encoded here.
        """
        catalogue = self.catalogue
        if catalogue.embeddings is None or not catalogue.embeddings.shape[0]:
            return None
        rows = catalogue.rows(item_ids)
        vectors = catalogue.embeddings[np.maximum(rows, 0)]
        unknown = np.flatnonzero(rows < 0).tolist()
        vectors[unknown] = 0
        given = {at: text for at in unknown if (text := texts.get(item_ids[at], ""))}
        remembered = self._encoder.remembered(list(given.values()))
        for at, text in given.items():
            if text in remembered:
                vectors[at] = remembered[text]
        return vectors


def bundle_hash(manifest: Mapping[str, Any]) -> str:
    """Identity of a bundle: sha256 over its files' paths and hashes."""
    listed = json.dumps(sorted(manifest["files"].items()))
    return hashlib.sha256(listed.encode()).hexdigest()
