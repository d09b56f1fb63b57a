"""The interest model of a prequential walk: its epochs chosen before the cut, then trained again on all before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverank.config.training import TrainingConfig
from liverank.ranking.basket_stream import DAY, BasketStream
from liverank.ranking.data import Catalogue
from liverank.ranking.listwise import mean_ndcg
from liverank.ranking.prequential_counts import labels_of, met

if TYPE_CHECKING:
    from liverank.ranking.checkpoint import Checkpoint
    from liverank.ranking.interest import InterestRanker
    from liverank.ranking.interest_report import InterestReport

JUDGED_DAYS = 10
"""Days after what it is trained on whose baskets say when to stop."""
EVERY = 3
"""Of them every third is asked for."""
KIND = "prequential"


class InterestTraining:
    """Trains the interest model on what lies before an instant; a run that was killed goes on from its checkpoint."""

    def __init__(
        self, stream: BasketStream, catalogue: Catalogue, encoder: Any, config: TrainingConfig, checkpoints: Path
    ) -> None:
        """Takes what it trains on.

        Args:
            stream: the baskets.
            catalogue: its items with their embeddings.
            encoder: the language model that made them.
            config: settings of training.
            checkpoints: keeps the training states until `forget`.
        """
        self.stream, self.catalogue, self.encoder = stream, catalogue, encoder
        self.config, self.checkpoints = config, checkpoints
        self.epochs = config.interest.epochs
        """Most epochs; after `train` as many as proved best."""
        self._states: list[Path] = []

    def train(self, until: float) -> InterestRanker:
        """Trains on the events before `until`, with early stopping on the baskets of the days after it."""
        asked = [basket for basket in self.stream.baskets if until <= basket.time < until + JUDGED_DAYS * DAY][::EVERY]
        pairs = [(self.stream.request(basket), labels_of(basket, len(self.catalogue))) for basket in asked]
        pairs = [(request, labels) for request, labels in pairs if len(request.history)]

        def validate(ranker: InterestRanker) -> float:
            return mean_ndcg([ranker.score_encoded([request])[0] for request, _ in pairs], [of for _, of in pairs])

        ranker, report = self._fit(until, self.config, validate if pairs else None)
        self.epochs = report.best_epoch
        return ranker

    def retrain(self, until: float) -> InterestRanker:
        """Trains anew on all before `until`, as many epochs as proved best."""
        fewer = self.config.interest.model_copy(update={"epochs": self.epochs, "patience": self.epochs})
        return self._fit(until, self.config.model_copy(update={"interest": fewer}), None)[0]

    def forget(self) -> None:
        """Removes the training states: a finished one would be taken up by the next run, which then trained nothing."""
        from liverank.ranking.checkpoint import forget_others

        forget_others(self.checkpoints, KIND, [])

    def _fit(self, until: float, config: TrainingConfig, validate: Any) -> tuple[InterestRanker, InterestReport]:
        from liverank.ranking.interest import fit_interest

        events = self.stream.before(until)
        catalogue = replace(self.catalogue, train_events=met(events, len(self.catalogue)))
        return fit_interest(catalogue, events, config, self.encoder, validate, self._checkpoint(until, config))

    def _checkpoint(self, until: float, config: TrainingConfig) -> Checkpoint:
        """The checkpoint of exactly this data, instant, language model and settings."""
        from liverank.ranking.checkpoint import Checkpoint, checkpoint_path

        settings = config.interest.model_dump(mode="json")
        parts = [self.stream.hash, until, self.encoder.fingerprint(), settings, config.seed]
        return Checkpoint(checkpoint_path(self.checkpoints, KIND, parts))
