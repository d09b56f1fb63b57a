"""TF-IDF vectors of item text in any language: words, and single characters of scripts written without spaces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Han, kana and hangul characters are tokens of their own: with 1-2-grams that makes characters and pairs of them.
_CHARACTERS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
TOKEN_PATTERN = rf"[{_CHARACTERS}]|[^\W_{_CHARACTERS}]+"
ITEMS_FOR_MIN_DF = 50


class TextVectors:
    """Turns texts into unit TF-IDF vectors (1-2-grams, sublinear tf), `[texts, terms]` CSR."""

    def __init__(self, vocabulary: dict[str, int], idf: npt.NDArray[np.float64]) -> None:
        self.vocabulary = vocabulary
        self.idf = idf
        self._vectorizer = self._make() if vocabulary else None

    def _make(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            token_pattern=TOKEN_PATTERN, ngram_range=(1, 2), sublinear_tf=True, vocabulary=self.vocabulary
        )
        vectorizer.idf_ = self.idf
        return vectorizer

    @classmethod
    def fit(cls, texts: Sequence[str], most: int | None = None) -> TextVectors:
        """Learns terms (in two texts at least, once there are enough texts; the `most` frequent) and their idf."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            token_pattern=TOKEN_PATTERN,
            ngram_range=(1, 2),
            sublinear_tf=True,
            min_df=2 if len(texts) >= ITEMS_FOR_MIN_DF else 1,
            max_features=most,
        )
        analyze = vectorizer.build_analyzer()
        # scikit-learn refuses a corpus without terms; here that is an item set without text.
        counts = {term for text in texts[:ITEMS_FOR_MIN_DF] for term in analyze(text)}
        if not counts:
            return cls({}, np.zeros(0))
        try:
            vectorizer.fit(texts)
        except ValueError:  # no term is in two texts
            return cls({}, np.zeros(0))
        return cls({term: int(column) for term, column in vectorizer.vocabulary_.items()}, vectorizer.idf_)

    def transform(self, texts: Sequence[str]) -> Any:
        """Unit vectors of texts, `[texts, terms]` CSR; a text without known terms is all zero."""
        from scipy.sparse import csr_matrix

        if self._vectorizer is None or not texts:
            return csr_matrix((len(texts), max(1, len(self.vocabulary))), dtype=np.float32)
        vectors = self._vectorizer.transform(texts).astype(np.float32)
        vectors.sort_indices()
        return vectors

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """The terms in column order as UTF-8 JSON, for a safetensors file."""
        terms = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        return np.frombuffer(json.dumps(terms, ensure_ascii=False).encode(), np.uint8)

    @classmethod
    def from_bytes(cls, terms: npt.NDArray[np.uint8], idf: npt.NDArray[np.float64]) -> TextVectors:
        """The inverse of `to_bytes`."""
        return cls({term: at for at, term in enumerate(json.loads(terms.tobytes()))}, idf)
