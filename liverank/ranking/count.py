"""The count ranker: transitions, text, popularity and repeats, counted in seconds and scored in microseconds.

Retriever, baseline, fall-back, and the source of eight signals for the blend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.config.training import CountConfig
from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows, encode, texts_of_unknown
from liverank.ranking.protocol import Request, Scores, remembered
from liverank.ranking.scales import Scales
from liverank.ranking.sparse import from_arrays, grown, is_narrow, row_products, to_arrays, weighted_rows
from liverank.ranking.tfidf import TextVectors
from liverank.ranking.transitions import decayed_popularity, strongest_transitions

SIGNALS = ("transitions", "text", "popularity", "established", "had", "repeats", "frequency", "recency")
"""transitions, text: what the history asks for, log-scaled within the request (`log_scaled`);
popularity, established: log of an item's evidence over a short and a long half-life (their difference is its trend);
had, repeats, frequency, recency: whether the user had the item, log of how often, in which share of steps, how long
ago in steps."""
PRIOR = np.asarray(
    [
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],  # nothing known of the user
        [0.6, 0.4, 0.6, 0.0, 0.3, 0.5, 0.4, 0.2],
    ],
    np.float32,
)
"""Weights of the signals before any were learned: row 0 for an empty history, row 1 for others, `[2, signals]`."""
CHUNK = 256
_LOG_SCALE = 20


@dataclass(frozen=True, slots=True)
class _Asking:
    """What a history asks for, whatever the candidates are."""

    items: Rows
    """Rows of the last steps' events; so are the next."""
    shares: npt.NDArray[np.float64]
    following: npt.NDArray[np.float64] | None
    """Summed transitions to each item of a narrow catalogue, `[items]`; None: to be summed for the candidates alone."""
    profile: npt.NDArray[np.float64] | None
    """Unit vector of the texts, `[terms]`; None where they say nothing."""
    had: Rows
    """Rows the user had before, ascending."""
    had_signals: Floats
    """`had` to `recency` of each, `[rows, 4]`."""


class CountRanker:
    """Scores = weighted sum of `SIGNALS`, with weights of their own for users without a history.

    A query is the history's last steps with decay; transitions score T[i, j] / (sqrt(row sum) * popularity_j ** power),
    text is the cosine of TF-IDF vectors under the same query.
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
        weights: Floats = PRIOR,
        item_vectors: Any = None,
    ) -> None:
        self.catalogue = catalogue
        self.config = config
        self.transitions = transitions
        self.popularity = popularity
        self.text = text
        self.type_weights = type_weights
        self.item_vectors = text.transform(catalogue.texts) if item_vectors is None else item_vectors
        self.weights = weights
        self._log_popularity = np.log1p(popularity).astype(np.float32)

    @classmethod
    def fit(cls, catalogue: Catalogue, events: Events, config: CountConfig, now: float | None = None) -> CountRanker:
        """Counts the events and learns its weights from the latest of them.

        `now` (seconds since 1970) is when the events are looked at, default the latest event.
        """
        from liverank.ranking.count_weights import learned_from_events

        text = TextVectors.fit(catalogue.texts)
        weights = learned_from_events(catalogue, events, config, text) if config.learn_weights else PRIOR
        return cls.counted(catalogue, events, config, text, weights, now)

    @classmethod
    def counted(
        cls,
        catalogue: Catalogue,
        events: Events,
        config: CountConfig,
        text: TextVectors,
        weights: Floats,
        now: float | None = None,
    ) -> CountRanker:
        """Counts the events under given weights, `[2, signals]`."""
        now = events.latest if now is None else now
        items = len(catalogue)
        damping = decayed_popularity(events, items, config.half_life_days, now)
        halves = (config.popularity_half_life_days, config.established_half_life_days)
        popularity = np.stack([decayed_popularity(events, items, half, now) for half in halves], axis=1)
        transitions = strongest_transitions(events, items, config, now, damping)
        return cls(catalogue, config, transitions, popularity, text, events.type_weights(), weights)

    # Scoring.

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        encoded = [encode(self.catalogue, request) for request in requests]
        pairs = zip(encoded, self.signals(encoded), strict=True)
        return [signals @ self.weights[segment(request)] for request, signals in pairs]

    def signals(self, requests: Sequence[EncodedRequest], scales: Sequence[Scales] | None = None) -> list[Floats]:
        """The separate signals in the order of `SIGNALS`: a list of `[candidates, 8]` arrays.

        `scales` of each request take the place of those of its list where they hold any.
        """
        held = [Scales() for _ in requests] if scales is None else scales
        return [self._signals(request, of) for request, of in zip(requests, held, strict=True)]

    def _signals(self, request: EncodedRequest, scales: Scales) -> Floats:
        asking = remembered(request.request.history, self, "asking", lambda: self._asking(request))
        rows = request.candidates
        known = np.flatnonzero(rows >= 0)
        safe, ids = rows[known], asking.had
        signals = np.zeros((len(rows), len(SIGNALS)), np.float32)
        following = np.zeros(len(rows))
        following[known] = self._following(asking, safe)
        signals[:, 0] = log_scaled(following, scales.largest("transitions", following))
        similarity = self._text_similarity(request, known, asking.profile)
        signals[:, 1] = log_scaled(similarity, scales.largest("text", similarity))
        signals[known, 2:4] = self._log_popularity[safe]
        if len(ids):
            place = np.minimum(np.searchsorted(ids, safe), len(ids) - 1)
            signals[known, 4:] = np.where((ids[place] == safe)[:, None], asking.had_signals[place], 0)
        return signals

    def _asking(self, request: EncodedRequest) -> _Asking:
        weight = evidence(request, self.type_weights)
        late = request.steps_back < self.config.query_items
        items, shares = request.history[late], (weight * self.config.query_decay**request.steps_back)[late]
        following = weighted_rows(self.transitions, items, shares) if is_narrow(self.transitions) else None
        profile = weighted_rows(self.item_vectors, items, shares)
        length = float(np.linalg.norm(profile))
        return _Asking(items, shares, following, profile / length if length else None, *self._had(request, weight))

    def _following(self, asking: _Asking, rows: Rows) -> npt.NDArray[np.float64]:
        """Summed transitions to some items, `[rows]`."""
        if asking.following is None:
            return weighted_rows(self.transitions, asking.items, asking.shares, rows)
        return asking.following[rows]

    def pulls(self, request: EncodedRequest, row: int) -> Floats:
        """How strongly each event of the history asks for an item of the catalogue by transitions, `[events]`."""
        weight = evidence(request, self.type_weights) * self.config.query_decay**request.steps_back
        weight[request.steps_back >= self.config.query_items] = 0
        strength = np.asarray(self.transitions[request.history, row].todense()).ravel()
        return (strength * weight).astype(np.float32)

    def _text_similarity(self, request: EncodedRequest, known: Rows, profile: Any) -> Floats:
        """Cosine of each candidate's text and the summed texts of what asks, `[candidates]`."""
        similarity = np.zeros(len(request.candidates), np.float32)
        if profile is None:
            return similarity
        similarity[known] = row_products(self.item_vectors, request.candidates[known], profile)
        told = texts_of_unknown(request)
        if told:
            similarity[list(told)] = self.text.products(list(told.values()), profile)
        return similarity

    def remember_texts(self, texts: Sequence[str]) -> None:
        """Reads texts of items outside the catalogue ahead of their scoring."""
        self.text.remember(texts)

    def texts_read(self, texts: Iterable[str]) -> set[str]:
        """Those of the texts that were read lately."""
        return self.text.remembered(texts)

    def _had(self, request: EncodedRequest, weight: npt.NDArray[np.float64]) -> tuple[Rows, Floats]:
        """Rows the user had before, ascending, and the last four signals, `[rows, 4]`; `weight` is the evidence."""
        ids, inverse = np.unique(request.history, return_inverse=True)
        times = np.bincount(inverse, weight, len(ids))
        steps = int(request.steps_back[0]) + 1 if len(ids) else 1
        latest = np.zeros(len(ids))
        np.maximum.at(latest, inverse, (weight > 0) * self.config.repeat_decay**request.steps_back)
        return ids, np.stack([times > 0, np.log1p(times), times / (steps + 1), latest], axis=1).astype(np.float32)

    def _queries(self, requests: Sequence[EncodedRequest]) -> Any:
        from scipy.sparse import csr_matrix

        rows, columns, values = [], [], []
        for at, request in enumerate(requests):
            asks = request.steps_back < self.config.query_items
            rows.append(np.full(int(asks.sum()), at))
            columns.append(request.history[asks])
            values.append((evidence(request, self.type_weights) * self.config.query_decay**request.steps_back)[asks])
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

    def all_signals(self, requests: Sequence[EncodedRequest]) -> Floats:
        """The signals of every item of the catalogue, `[requests, items, 8]`."""
        query = self._queries(requests)
        result = np.zeros((len(requests), len(self.catalogue), len(SIGNALS)), np.float32)
        result[:, :, 0] = log_scaled((query @ self.transitions).toarray())
        result[:, :, 1] = log_scaled(((query @ self.item_vectors) @ self.item_vectors.T).toarray())
        result[:, :, 2:4] = self._log_popularity
        for at, request in enumerate(requests):
            ids, had = self._had(request, evidence(request, self.type_weights))
            result[at, ids, 4:] = had
        return result

    def _all_scores(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        pairs = zip(requests, self.all_signals(requests), strict=True)
        return [signals @ self.weights[segment(request)] for request, signals in pairs]

    # Catalogue changes, disk.

    def on(self, catalogue: Catalogue, changed: Rows) -> CountRanker:
        """The same counts over a catalogue with appended items and rewritten texts (`changed` rows)."""
        from scipy.sparse import vstack

        new = len(catalogue) - len(self.catalogue)
        transitions = grown(self.transitions, len(catalogue))
        # New rows that did not change have no text: row 0 of the last part stands for all of them.
        rewritten = self.text.transform([catalogue.texts[row] for row in changed.tolist()])
        place = np.append(np.arange(len(self.catalogue)), np.full(new, len(self.catalogue) + len(changed)))
        place[changed] = len(self.catalogue) + np.arange(len(changed))
        vectors = vstack([self.item_vectors, rewritten, self.text.transform([""])]).tocsr()[place]
        popularity = np.concatenate([self.popularity, np.zeros((new, 2), np.float32)])
        known = (self.text, self.type_weights, self.weights)
        return CountRanker(catalogue, self.config, transitions, popularity, *known, vectors)

    def save(self, folder: Path) -> None:
        """Writes `arrays.safetensors` and `settings.json`; the catalogue is the bundle's."""
        data = {
            **to_arrays(self.transitions),
            "popularity": self.popularity,
            "weights": self.weights,
            "terms": self.text.to_bytes(),
            "idf": self.text.idf.astype(np.float64),
        }
        arrays.write(folder, data, {"config": self.config.model_dump(), "type_weights": self.type_weights})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> CountRanker:
        """The ranker that `save` wrote, over the catalogue it was fitted on."""
        data, settings = arrays.read(folder)
        return cls(
            catalogue,
            CountConfig.model_validate(settings["config"]),
            from_arrays(data, len(catalogue)),
            data["popularity"],
            TextVectors.from_bytes(data["terms"], data["idf"]),
            settings["type_weights"],
            data["weights"],
        )


def segment(request: EncodedRequest) -> int:
    """0 for a user without a (known) history, 1 for others."""
    return int(len(request.history) > 0)


def evidence(request: EncodedRequest, type_weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Weight of each history event, the heaviest type as 1, `[history]`; evidence against counts 0."""
    heaviest = max(type_weights.values(), default=1.0) or 1.0
    weights = {name: max(weight, 0.0) / heaviest for name, weight in type_weights.items()}
    unknown = max(heaviest, 0.0) / heaviest
    return np.asarray([weights.get(name, unknown) for name in request.types], np.float64)


def log_scaled(values: npt.NDArray[Any], largest: Any = None) -> Floats:
    """log(1 + 20 v / largest of the list), along the last axis: what a list's best and its also-rans are worth."""
    largest = values.max(axis=-1, keepdims=True, initial=0) if largest is None else largest
    return np.log1p(_LOG_SCALE * values / np.where(largest > 0, largest, 1)).astype(np.float32)
