"""Ranking without any training: how close an item's text lies to the texts of what the user had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode
from liverank.ranking.protocol import Request, Scores


class TextEncoder(Protocol):
    """What turns texts into unit vectors."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit vectors, `[texts, width]`."""
        ...

    def encode_remembered(self, texts: Sequence[str]) -> Floats:
        """As `encode`, remembering texts seen lately."""
        ...


def candidate_embeddings(catalogue: Catalogue, request: EncodedRequest, encoder: TextEncoder) -> Floats:
    """Embedding of each candidate, `[candidates, width]`: the catalogue's, else of its text, else 0.

    Raises:
        ValueError: the catalogue has no embeddings yet.
    """
    rows = request.candidates
    vectors = catalogue.embedded[np.maximum(rows, 0)]
    unknown = np.flatnonzero(rows < 0)
    if not len(unknown):
        return vectors
    vectors[unknown] = 0
    given = request.request.candidates
    texts = {at: text for at in unknown.tolist() if (text := given.texts.get(given.item_ids[at], ""))}
    if texts:
        vectors[list(texts)] = encoder.encode_remembered(list(texts.values()))
    return vectors


class ZeroShotRanker:
    """Cosine of a candidate's embedding and the decayed mean of the history's embeddings; 0 without a history.

    The latest step counts 1, each step before it `decay` times as much.
    """

    name = "zero-shot"

    def __init__(self, catalogue: Catalogue, encoder: TextEncoder, decay: float = 0.8) -> None:
        self.catalogue = catalogue
        self.encoder = encoder
        self.decay = decay
        self._embeddings = catalogue.embedded

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays in [-1, 1]."""
        return [self.similarity(encode(self.catalogue, request)) for request in requests]

    def similarity(self, request: EncodedRequest) -> Scores:
        """Scores of one request, `[candidates]`.

        BLAS rounds a row by its place in a product, and the order of candidates must not matter: either their rows are
        multiplied one by one, or, where most items are candidates, all of the catalogue's in the catalogue's order.
        """
        profile = self._profile(request)
        rows = request.candidates
        if (rows < 0).any():
            return np.vecdot(candidate_embeddings(self.catalogue, request, self.encoder), profile)
        if 2 * len(rows) > len(self._embeddings):
            # Most items: copying their embeddings would take longer than the few products that are not wanted.
            every: Scores = (self._embeddings @ profile)[rows]
            return every
        return np.vecdot(self._embeddings[rows], profile)

    def _profile(self, request: EncodedRequest) -> Floats:
        weight = (self.decay**request.steps_back).astype(np.float32)
        mean = weight @ self._embeddings[request.history]
        length = float(np.linalg.norm(mean))
        return mean / np.float32(length) if length > 0 else mean

    def on(self, catalogue: Catalogue, changed: Rows) -> ZeroShotRanker:
        """The same ranker over another catalogue."""
        return ZeroShotRanker(catalogue, self.encoder, self.decay)

    def save(self, folder: Path) -> None:
        """Writes the decay; the embeddings are the catalogue's."""
        arrays.write(folder, {}, {"decay": self.decay})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, encoder: TextEncoder) -> ZeroShotRanker:
        """The ranker that `save` wrote."""
        return cls(catalogue, encoder, arrays.read(folder)[1]["decay"])
