"""The two lines that every ranker must beat: the order a list came in, and plain popularity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liverank.events import LARGEST_SCORE
from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, Events, Floats, Rows
from liverank.ranking.protocol import Candidates, Request, Scores
from liverank.ranking.transitions import decayed_popularity


def incoming_scores(candidates: Candidates) -> Scores:
    """The proposer's scores, or minus the position where it gave none or not all finite, `[candidates]`."""
    given = candidates.scores
    if given is None or not np.isfinite(given).all():
        return -np.arange(len(candidates), dtype=np.float32)
    # Files of lists know no bounds: squares of larger ones would be infinite.
    return np.clip(given, -LARGEST_SCORE, LARGEST_SCORE).astype(np.float32)


class IncomingOrder:
    """Keeps the order that the candidates came in."""

    name = "incoming"

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """The incoming scores of each request."""
        return [incoming_scores(request.candidates) for request in requests]

    def save(self, folder: Path) -> None:
        """Writes that there is nothing to keep."""
        arrays.write(folder, {}, {})

    @classmethod
    def load(cls, folder: Path) -> IncomingOrder:
        """The same ranker."""
        arrays.read(folder)
        return cls()


class PopularityRanker:
    """Scores an item by its decayed positive evidence; unknown items score 0."""

    name = "popularity"

    def __init__(self, catalogue: Catalogue, popularity: Floats) -> None:
        self.catalogue = catalogue
        self.popularity = popularity

    @classmethod
    def fit(
        cls, catalogue: Catalogue, events: Events, half_life_days: float = 14, now: float | None = None
    ) -> PopularityRanker:
        """Counts the events as seen at `now` (seconds since 1970), default the latest event."""
        now = events.latest if now is None else now
        return cls(catalogue, decayed_popularity(events, len(catalogue), half_life_days, now))

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Popularity of each candidate."""
        rows = [self.catalogue.rows(request.candidates.item_ids) for request in requests]
        return [np.where(at >= 0, self.popularity[at], 0).astype(np.float32) for at in rows]

    def on(self, catalogue: Catalogue, changed: Rows) -> PopularityRanker:
        """The same counts over a catalogue with appended items."""
        new = np.zeros(len(catalogue) - len(self.catalogue), np.float32)
        return PopularityRanker(catalogue, np.concatenate([self.popularity, new]))

    def save(self, folder: Path) -> None:
        """Writes the counts; the catalogue is the bundle's."""
        arrays.write(folder, {"popularity": self.popularity}, {})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> PopularityRanker:
        """The ranker that `save` wrote."""
        return cls(catalogue, arrays.read(folder)[0]["popularity"])
