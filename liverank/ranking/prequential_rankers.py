"""The rankers beside the counts in a prequential walk: those that are served, trained as they stand at an instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from liverank.config.training import TrainingConfig
from liverank.ranking.basket_stream import BasketStream
from liverank.ranking.data import EncodedRequest
from liverank.ranking.linear import LinearRanker
from liverank.ranking.prequential_interest import InterestTraining
from liverank.ranking.protocol import Scores
from liverank.ranking.zero_shot import ZeroShotRanker


class Trained:
    """Zero-shot, linear and interest ranker, as far as the configuration wants them; they learn nothing in between."""

    def __init__(self, stream: BasketStream, config: TrainingConfig, checkpoints: Path) -> None:
        self.rankers: dict[str, Once] = {}
        """Name of the blend's signal -> ranker."""
        self._stream, self._config, self._checkpoints = stream, config, checkpoints
        self._interest: InterestTraining | None = None

    @property
    def epochs(self) -> int:
        """Of the interest model; 0 without it."""
        return self._interest.epochs if self._interest else 0

    def train(self, until: float) -> None:
        """Fits all on what lies before `until`; epochs are chosen on the days after it."""
        from liverank.ranking.tuned_model import tuned_language_model
        from liverank.text import embed_with_cache

        texts = self._stream.catalogue.texts
        encoder, _ = tuned_language_model(texts, self._stream.before(until), self._config, self._checkpoints)
        catalogue = self._stream.catalogue.with_embeddings(embed_with_cache(encoder, texts, self._checkpoints))
        self.rankers["zero-shot"] = Once(ZeroShotRanker(catalogue, encoder))
        self._fit_linear(until)
        if self._config.interest.enabled:
            self._interest = InterestTraining(self._stream, catalogue, encoder, self._config, self._checkpoints)
            self.rankers["interest"] = Once(self._interest.train(until))

    def retrain(self, until: float) -> None:
        """Fits all anew on what lies before `until`; the language model stays."""
        self._fit_linear(until)
        if self._interest:
            self.rankers["interest"] = Once(self._interest.retrain(until))

    def forget(self) -> None:
        """Removes the training states."""
        if self._interest:
            self._interest.forget()

    def _fit_linear(self, until: float) -> None:
        if self._config.linear.enabled:
            before = self._stream.before(until)
            self.rankers["linear"] = Once(LinearRanker.fit(self._stream.catalogue, before, self._config.linear))


class Once:
    """A ranker that several blends ask about one request, one right after the other: it scores the request once."""

    def __init__(self, ranker: Any) -> None:
        self.ranker = ranker
        self._latest: tuple[EncodedRequest, Scores] | None = None

    def similarity(self, request: EncodedRequest) -> Scores:
        """As the zero-shot ranker's."""
        return self._once(request, self.ranker.similarity)

    def score_encoded(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        """As the other rankers'."""
        return [self._once(request, lambda one: self.ranker.score_encoded([one])[0]) for request in requests]

    def _once(self, request: EncodedRequest, score: Callable[[EncodedRequest], Scores]) -> Scores:
        if self._latest is None or self._latest[0] is not request:
            self._latest = (request, score(request))
        return self._latest[1]
