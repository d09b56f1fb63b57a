"""Ranking without any training: how close an item's text lies to the texts of what the user had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode, texts_of_unknown
from liverank.ranking.protocol import Request, Scores, remembered


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
    texts = texts_of_unknown(request)
    if texts:
        vectors[list(texts)] = encoder.encode_remembered(list(texts.values()))
    return vectors


SHRUNK_BY: Final = 5.0
"""Texts at the origin that the catalogue's centre reckons with: the mean of a few texts is what they say, not what all
texts have in common."""


class ZeroShotRanker:
    """Cosine of a candidate's embedding and the decayed mean of the history's, both seen from the catalogue's centre.

    All texts of one shop lie to one side; what tells them apart is how they differ from the mean of all (removing it is
    the first step of Mu and Viswanath, 2018, "All-but-the-Top"). The latest step counts 1, each step before it `decay`
    times as much. 0 without a history, and for what has no text.
    """

    name = "zero-shot"

    def __init__(
        self,
        catalogue: Catalogue,
        encoder: TextEncoder,
        decay: float = 0.8,
        centre: Floats | None = None,
        scale: Floats | None = None,
    ) -> None:
        """Takes the catalogue with its embeddings.

        Args:
            catalogue: what is ranked.
            encoder: of texts outside the catalogue.
            decay: of each step back.
            centre: `[width]`; default the embeddings' own.
            scale: one over the length of each item's embedding from that centre, `[items]`, where it is at hand.
        """
        self.catalogue = catalogue
        self.encoder = encoder
        self.decay = decay
        self._embeddings = catalogue.embedded
        self.centre: Floats = _centre(self._embeddings) if centre is None else centre
        self._scale = self._inverse_lengths(self._embeddings) if scale is None else scale

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays in [-1, 1]."""
        return self.score_encoded([encode(self.catalogue, request) for request in requests])

    def score_encoded(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        """As `score_batch`, for requests that were looked up in this catalogue."""
        return [self._from_the_centre(request) for request in requests]

    def _from_the_centre(self, request: EncodedRequest) -> Scores:
        rows = request.history[self._scale[request.history] > 0]
        if not len(rows):
            return np.zeros(len(request.candidates), np.float32)
        weight = self._weight(request)[self._scale[request.history] > 0] * self._scale[rows]
        # The weighted mean of (e - centre) / length; subtracting afterwards spares a copy of the embeddings.
        mean = weight @ self._embeddings[rows] - weight.sum() * self.centre
        profile = _unit(mean)
        scores = self._products(request, profile) - np.float32(self.centre @ profile)
        result: Scores = scores * self._scales(request)
        return result

    def _scales(self, request: EncodedRequest) -> Floats:
        """One over the length of each candidate's embedding from the centre, 0 without a text, `[candidates]`."""
        rows = request.candidates
        if (rows >= 0).all():
            return self._scale[rows]
        return self._inverse_lengths(candidate_embeddings(self.catalogue, request, self.encoder))

    def _inverse_lengths(self, embeddings: Floats) -> Floats:
        """Of the way from the centre to each embedding, 0 for one of zeros, `[embeddings]`."""
        square = np.vecdot(embeddings, embeddings) - 2 * np.vecdot(embeddings, self.centre) + self.centre @ self.centre
        length = np.sqrt(np.maximum(square, 1e-12))
        return np.where(embeddings.any(1), 1 / length, 0).astype(np.float32)

    def similarity(self, request: EncodedRequest) -> Scores:
        """Plain cosines of one request, `[candidates]`: the blend's signal.

        Beside the blend's other signals the centre makes no difference, and its weights were learned without.
        """
        history = request.request.history
        return self._products(request, remembered(history, self, "profile", lambda: self._profile(request)))

    def _profile(self, request: EncodedRequest) -> Floats:
        return _unit(self._weight(request) @ self._embeddings[request.history])

    def query_scores(self, query: str, request: EncodedRequest) -> Scores:
        """Plain cosines of a query and each candidate, `[candidates]`, whatever the history; 0 without a text.

        Queries and texts are not seen from the centre: it is the texts' own, and a query is written otherwise.

        Raises:
            LanguageModelError: the encoder cannot be had.
        """
        return self._products(request, self.encoder.encode_remembered([query])[0])

    def _products(self, request: EncodedRequest, profile: Floats) -> Scores:
        """Products of a profile and each candidate's embedding, `[candidates]`.

        BLAS rounds a row by its place in a product, and the order of candidates must not matter: either their rows are
        multiplied one by one, or, where most items are candidates, all of the catalogue's in the catalogue's order.
        """
        rows = request.candidates
        if (rows < 0).any():
            return np.vecdot(candidate_embeddings(self.catalogue, request, self.encoder), profile)
        if 2 * len(rows) > len(self._embeddings):
            # Most items: copying their embeddings would take longer than the few products that are not wanted.
            every: Scores = (self._embeddings @ profile)[rows]
            return every
        return np.vecdot(self._embeddings[rows], profile)

    def _weight(self, request: EncodedRequest) -> Floats:
        """Of each event of the history, `[events]`."""
        return (self.decay**request.steps_back).astype(np.float32)

    def on(self, catalogue: Catalogue, changed: Rows) -> ZeroShotRanker:
        """The same ranker over another catalogue, seen from the same centre: what was scored before stays as it was."""
        scale = np.concatenate([self._scale, np.zeros(len(catalogue) - len(self._scale), np.float32)])
        scale[changed] = self._inverse_lengths(catalogue.embedded[changed])
        return ZeroShotRanker(catalogue, self.encoder, self.decay, self.centre, scale)

    def save(self, folder: Path) -> None:
        """Writes the decay and the centre; the embeddings are the catalogue's."""
        arrays.write(folder, {"centre": self.centre}, {"decay": self.decay})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, encoder: TextEncoder) -> ZeroShotRanker:
        """The ranker that `save` wrote; the centre of one from before there was one is its catalogue's."""
        data, settings = arrays.read(folder)
        return cls(catalogue, encoder, settings["decay"], data.get("centre"))


def _centre(embeddings: Floats) -> Floats:
    """Their mean, drawn towards 0 where they are few, `[width]`; those of no text do not count."""
    told = int(embeddings.any(1).sum())
    return (embeddings.sum(0) / np.float32(max(1, told) + SHRUNK_BY)).astype(np.float32)


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
