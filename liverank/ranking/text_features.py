"""What the interest model reads of an item's text: the language model's embedding, and the words themselves.

An embedding says what a text is about; which series or brand it names, that is for the words to say. They come as
TF-IDF vectors folded to a few hundred columns by a truncated SVD (latent semantic analysis, Deerwester et al., 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.ranking.data import Floats
from liverank.ranking.tfidf import TextVectors

MOST_TEXTS = 100_000
"""Texts, evenly spread, that words are learned from: of more the folding takes minutes and learns nothing new."""
MOST_TERMS = 20_000


class TextFeatures:
    """Turns texts and their embeddings into features, `[texts, width]`; a text without words is 0 in their columns."""

    def __init__(self, words: TextVectors, folding: Floats, weight: float) -> None:
        self.words = words
        self.folding = folding
        """`[terms, columns]`."""
        self.weight = weight
        """Scale of the folded words, so that they vary as much as the embeddings do."""

    @classmethod
    def fit(cls, texts: Sequence[str], embeddings: Floats, columns: int, seed: int) -> TextFeatures:
        """Learns words and their folding to at most `columns` columns.

        Args:
            texts: of all items.
            embeddings: of all items, `[items, width]`; scales the words.
            columns: most columns for words; 0 leaves them out.
            seed: of the randomised SVD.
        """
        from sklearn.decomposition import TruncatedSVD

        some = texts[:: max(1, -(-len(texts) // MOST_TEXTS))]
        words = TextVectors.fit(some, MOST_TERMS) if columns else TextVectors({}, np.zeros(0))
        vectors = words.transform(some)
        columns = min(columns, len(words.vocabulary) - 1, len(some) - 1)
        if columns < 1:
            return cls(TextVectors({}, np.zeros(0)), np.zeros((0, 0), np.float32), 1.0)
        folding = TruncatedSVD(columns, random_state=seed).fit(vectors).components_.T.astype(np.float32)
        spread = float((vectors @ folding).std())
        return cls(words, folding, float(embeddings.std()) / spread if spread > 0 else 1.0)

    @property
    def columns(self) -> int:
        """Columns of the words."""
        return int(self.folding.shape[1])

    def transform(self, texts: Sequence[str], embeddings: Floats) -> Floats:
        """Features of texts with the given embeddings, `[texts, width + columns]`."""
        if not self.columns:
            return embeddings
        folded = self.words.transform(texts) @ self.folding * np.float32(self.weight)
        return np.concatenate([embeddings, folded.astype(np.float32)], axis=1)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `from_arrays` needs, for a safetensors file."""
        weight = np.asarray([self.weight], np.float32)
        return {"terms": self.words.to_bytes(), "idf": self.words.idf, "folding": self.folding, "weight": weight}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> TextFeatures:
        """The inverse of `arrays`."""
        words = TextVectors.from_bytes(arrays["terms"], arrays["idf"])
        return cls(words, arrays["folding"], float(arrays["weight"][0]))
