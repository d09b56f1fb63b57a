"""The count ranker: transitions, text, popularity and repeats, counted in seconds and scored in microseconds.

Retriever, baseline, fall-back, and the source of five signals for the blend.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows, encode
from liverank.ranking.protocol import Request, Scores
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import decayed_popularity, normalised, transition_counts

SIGNALS = ("transitions", "text", "popularity", "repeats", "recency")
PRIOR = {"transitions": 1.0, "text": 0.5, "popularity": 0.5, "repeats": 1.0, "recency": 0.5}
"""Weights of the signals, each divided by its maximum in the request, until a blend has learned better ones."""
CHUNK = 256


class CountRanker:
    """Scores = weighted sum of signals, each divided by its largest value among the request's candidates.

    A query is the history's last steps with decay; transitions score T[i, j] / (sqrt(row sum) * popularity_j ** power),
    text is the cosine of TF-IDF vectors under the same query, repeats are what the user had before.
    """

    name = "count"

    def __init__(
        self,
        catalogue: Catalogue,
        config: CountConfig,
        transitions: Any,
        popularity: Floats,
        text: TextVectors,
        type_weights: dict[str, float],
        item_vectors: Any = None,
    ) -> None:
        self.catalogue = catalogue
        self.config = config
        self.transitions = transitions
        self.popularity = popularity
        self.text = text
        self.type_weights = type_weights
        self.item_vectors = text.transform(catalogue.texts) if item_vectors is None else item_vectors
        self._log_popularity = np.log1p(popularity).astype(np.float32)
        self._weights = np.asarray([PRIOR[name] for name in SIGNALS], np.float32)

    @classmethod
    def fit(cls, catalogue: Catalogue, events: Events, config: CountConfig, now: float | None = None) -> CountRanker:
        """Counts the events; `now` (seconds since 1970) is when they are looked at, default the latest event."""
        latest = float(events.timestamp.max()) if len(events) else 0.0
        now = latest if now is None else now
        counts = transition_counts(events, len(catalogue), config, now)
        damping = decayed_popularity(events, len(catalogue), config.half_life_days, now)
        return cls(
            catalogue,
            config,
            normalised(counts, damping, config.popularity_power, config.max_neighbours),
            decayed_popularity(events, len(catalogue), config.popularity_half_life_days, now),
            TextVectors.fit(catalogue.texts),
            events.type_weights(),
        )

    # Scoring.

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        encoded = [encode(self.catalogue, request) for request in requests]
        return [divided_by_largest(signals) @ self._weights for signals in self.signals(encoded)]

    def signals(self, requests: Sequence[EncodedRequest]) -> list[Floats]:
        """The separate signals in the order of `SIGNALS`: a list of `[candidates, 5]` arrays, all at least 0."""
        result: list[Floats] = []
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            query = self._queries(chunk)
            following, profile = query @ self.transitions, query @ self.item_vectors
            result += [self._signals(request, following, profile, at) for at, request in enumerate(chunk)]
        return result

    def _signals(self, request: EncodedRequest, following: Any, profile: Any, at: int) -> Floats:
        rows = request.candidates
        known = rows >= 0
        safe = np.where(known, rows, 0)
        signals = np.zeros((len(rows), len(SIGNALS)), np.float32)
        signals[:, 0] = _dense_row(following, at)[safe]
        signals[:, 2] = self._log_popularity[safe]
        signals[:, 3], signals[:, 4] = self._repeats(request, safe)
        signals[~known] = 0
        signals[:, 1] = self._text_similarity(request, safe, known, _dense_row(profile, at))
        return signals

    def _text_similarity(self, request: EncodedRequest, safe: Rows, known: Any, profile: Floats) -> Floats:
        length = float(np.linalg.norm(profile))
        if length == 0:
            return np.zeros(len(safe), np.float32)
        profile = profile / np.float32(length)
        similarity = np.where(known, self.item_vectors[safe] @ profile, 0).astype(np.float32)
        texts = request.request.candidates.texts
        for at in np.flatnonzero(~known) if texts else ():
            text = texts.get(request.request.candidates.item_ids[at], "")
            similarity[at] = (self.text.transform([text]) @ profile)[0] if text else 0
        return similarity

    def _repeats(self, request: EncodedRequest, rows: Rows) -> tuple[Floats, Floats]:
        times_had, last_had = self._had(request)
        order = np.argsort(times_had[0], kind="stable")
        ids, counts, recency = times_had[0][order], times_had[1][order], last_had[order]
        if not len(ids):
            return np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
        at = np.minimum(np.searchsorted(ids, rows), len(ids) - 1)
        found = ids[at] == rows
        return np.where(found, np.log1p(counts[at]), 0), np.where(found, recency[at], 0)

    def _had(self, request: EncodedRequest) -> tuple[tuple[Rows, Floats], Floats]:
        ids, inverse = np.unique(request.history, return_inverse=True)
        weight = self._evidence(request)
        recency = (weight > 0) * np.power(self.config.repeat_decay, request.steps_back)
        counts = np.bincount(inverse, weight, len(ids)).astype(np.float32)
        latest = np.zeros(len(ids))
        np.maximum.at(latest, inverse, recency)
        return (ids, counts), latest.astype(np.float32)

    def _evidence(self, request: EncodedRequest) -> npt.NDArray[np.float64]:
        """Weight of each history event, the heaviest type as 1, `[history]`; evidence against counts 0."""
        heaviest = max(self.type_weights.values(), default=1.0) or 1.0
        weights = [max(self.type_weights.get(name, heaviest), 0.0) / heaviest for name in request.types]
        return np.asarray(weights, np.float64)

    def _queries(self, requests: Sequence[EncodedRequest]) -> Any:
        from scipy.sparse import csr_matrix

        rows, columns, values = [], [], []
        for at, request in enumerate(requests):
            asks = request.steps_back < self.config.query_items
            rows.append(np.full(int(asks.sum()), at))
            columns.append(request.history[asks])
            values.append((self._evidence(request) * self.config.query_decay**request.steps_back)[asks])
        shape = (len(requests), len(self.catalogue))
        where = (np.concatenate(rows), np.concatenate(columns))
        return csr_matrix((np.concatenate(values).astype(np.float32), where), shape=shape)

    # Retrieval.

    def retrieve(self, requests: Sequence[Request], k: int) -> list[list[str]]:
        """The `k` best items of the whole catalogue for each request's history, best first, repeats included."""
        k = min(k, len(self.catalogue))
        found: list[list[str]] = []
        for start in range(0, len(requests), CHUNK):
            encoded = [encode(self.catalogue, request) for request in requests[start : start + CHUNK]]
            for scores in self._all_scores(encoded):
                best = np.argpartition(-scores, k - 1)[:k] if k < len(scores) else np.arange(len(scores))
                best = best[np.lexsort((best, -scores[best]))]
                found.append([self.catalogue.item_ids[row] for row in best])
        return found

    def all_signals(self, requests: Sequence[EncodedRequest]) -> npt.NDArray[np.float32]:
        """The signals of every item of the catalogue, `[requests, items, 5]`."""
        query = self._queries(requests)
        result = np.zeros((len(requests), len(self.catalogue), len(SIGNALS)), np.float32)
        result[:, :, 0] = (query @ self.transitions).toarray()
        profile = query @ self.item_vectors
        lengths = np.sqrt(np.asarray(profile.multiply(profile).sum(axis=1))).ravel()
        similar = (profile @ self.item_vectors.T).toarray()
        result[:, :, 1] = np.divide(similar, lengths[:, None], out=similar, where=lengths[:, None] > 0)
        result[:, :, 2] = self._log_popularity
        for at, request in enumerate(requests):
            (ids, counts), recency = self._had(request)
            result[at, ids, 3], result[at, ids, 4] = np.log1p(counts), recency
        return result

    def _all_scores(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        return [divided_by_largest(signals) @ self._weights for signals in self.all_signals(requests)]

    # Catalogue changes, disk.

    def on(self, catalogue: Catalogue, changed: Rows) -> CountRanker:
        """The same counts over a catalogue with appended items and rewritten texts (`changed` rows)."""
        from scipy.sparse import vstack

        new = len(catalogue) - len(self.catalogue)
        transitions = self.transitions.copy()
        transitions.resize((len(catalogue), len(catalogue)))
        vectors = vstack([self.item_vectors, self.text.transform([""] * new)]).tolil() if new else None
        vectors = self.item_vectors.tolil() if vectors is None else vectors
        if len(changed):
            vectors[changed] = self.text.transform([catalogue.texts[row] for row in changed])
        popularity = np.concatenate([self.popularity, np.zeros(new, np.float32)])
        return CountRanker(
            catalogue, self.config, transitions, popularity, self.text, self.type_weights, vectors.tocsr()
        )

    def save(self, folder: Path) -> None:
        """Writes `arrays.safetensors` and `settings.json`; the catalogue is the bundle's."""
        matrix = self.transitions
        data = {
            "data": matrix.data.astype(np.float32),
            "indices": matrix.indices.astype(np.int32),
            "indptr": matrix.indptr.astype(np.int64),
            "popularity": self.popularity,
            "terms": self.text.to_bytes(),
            "idf": self.text.idf.astype(np.float64),
        }
        arrays.write(folder, data, {"config": self.config.model_dump(), "type_weights": self.type_weights})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> CountRanker:
        """The ranker that `save` wrote, over the catalogue it was fitted on."""
        from scipy.sparse import csr_matrix

        data, settings = arrays.read(folder)
        shape = (len(catalogue), len(catalogue))
        return cls(
            catalogue,
            CountConfig.model_validate(settings["config"]),
            csr_matrix((data["data"], data["indices"], data["indptr"]), shape=shape),
            data["popularity"],
            TextVectors.from_bytes(data["terms"], data["idf"]),
            settings["type_weights"],
        )


def divided_by_largest(signals: Floats) -> Floats:
    """Each column divided by its largest absolute value, `[candidates, signals]`; a column of zeros stays."""
    largest = np.abs(signals).max(axis=0, initial=0)
    return signals / np.where(largest > 0, largest, 1).astype(np.float32)


def _dense_row(matrix: Any, row: int) -> Floats:
    dense = np.zeros(matrix.shape[1], np.float32)
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    dense[matrix.indices[start:end]] = matrix.data[start:end]
    return dense
