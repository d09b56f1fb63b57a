"""TF-IDF vectors of item text in any language: words, and single characters of scripts written without spaces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.recent_texts import RecentTexts

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
        self._recent = RecentTexts[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]()

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

    def products(self, texts: Sequence[str], vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`transform(texts) @ vector`, `[texts]`, for texts that come with requests: one seen lately is not read again.

        Args:
            texts: at least one.
            vector: `[terms]`.
        """
        return np.array([values @ vector[terms] for terms, values in self._recent.made(texts, self._rows)])

    def remember(self, texts: Sequence[str]) -> None:
        """Reads texts ahead of `products`."""
        self._recent.made(texts, self._rows)

    def remembered(self, texts: Iterable[str]) -> set[str]:
        """Those of the texts that `products` would not read again."""
        return set(self._recent.known(texts))

    def _rows(self, texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]:
        """Terms and values of each text; copies, which do not keep the other texts' in memory."""
        vectors = self.transform(texts)
        for start, end in pairwise(vectors.indptr.tolist()):
            yield vectors.indices[start:end].copy(), vectors.data[start:end].copy()

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """The terms in column order as UTF-8 JSON, for a safetensors file."""
        terms = sorted(self.vocabulary, key=self.vocabulary.__getitem__)
        return np.frombuffer(json.dumps(terms, ensure_ascii=False).encode(), np.uint8)

    @classmethod
    def from_bytes(cls, terms: npt.NDArray[np.uint8], idf: npt.NDArray[np.float64]) -> TextVectors:
        """The inverse of `to_bytes`."""
        return cls({term: at for at, term in enumerate(json.loads(terms.tobytes()))}, idf)
