"""The feature ranker: a weighted sum of the scaled features of each candidate, and their source for the blend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import Item
from liverank.features.candidate_features import Feature
from liverank.features.daily import DailyCounts
from liverank.features.online import OnlineFeatures
from liverank.features.snapshot import Snapshot
from liverank.ranking import arrays
from liverank.ranking.count import segment
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode
from liverank.ranking.listwise import learn_weights, to_lists
from liverank.ranking.protocol import Request, Scores

STRENGTH = 10.0
LEAST_LISTS = 20
"""Lists with a positive below which a group of users has no weights of its own: 0."""
CANDIDATES_FILE = "candidates.parquet"
SNAPSHOT_FOLDER = "snapshot"


class FeatureRanker:
    """Scores = features @ weights, with weights of their own for users without a history.

    Features that all candidates of a list share cannot order it and are left out; so are those of the incoming order,
    which the blend weighs by itself where lists were really shown.
    """

    name = "features"

    def __init__(
        self, catalogue: Catalogue, snapshot: Snapshot, weights: Floats, counts: DailyCounts | None = None
    ) -> None:
        self.catalogue = catalogue
        self.snapshot = snapshot
        self.weights = weights
        self.online = OnlineFeatures(snapshot, catalogue.index, counts)
        self._columns = used_columns(snapshot.settings.features)
        self.signal_names = tuple(snapshot.settings.features[at].name for at in self._columns)

    @classmethod
    def fit(cls, features: Path, catalogue: Catalogue) -> FeatureRanker:
        """Learns the weights on the validation candidates of a features folder.

        Raises:
            DataError: the folder was made without candidate features.
        """
        path = features / CANDIDATES_FILE
        if not path.is_file():
            raise DataError(
                f"{features} holds no {CANDIDATES_FILE}.", "Run the features step with training.feature_ranker on."
            )
        snapshot = Snapshot.load(features / SNAPSHOT_FOLDER)
        ranker = cls(catalogue, snapshot, np.zeros((2, len(used_columns(snapshot.settings.features))), np.float32))
        ranker.weights = _learned(features, ranker.signal_names)
        return ranker

    @property
    def feature_names(self) -> tuple[str, ...]:
        """All features in the order of the online rows, also those that have no weight."""
        return tuple(feature.name for feature in self.snapshot.settings.features)

    @property
    def counts(self) -> DailyCounts:
        """The counts of past days; who serves adds the live log to them."""
        return self.online.counts

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        encoded = [encode(self.catalogue, request) for request in requests]
        pairs = zip(encoded, self.signals(encoded), strict=True)
        # Row by row: BLAS rounds a row by its place, and the order of candidates must not matter.
        return [np.vecdot(rows, self.weights[segment(request)]) for request, rows in pairs]

    def signals(self, requests: Sequence[EncodedRequest]) -> list[Floats]:
        """The features in the order of `signal_names`: a list of `[candidates, signals]` arrays."""
        return [self.online.scaled(request.request)[:, self._columns] for request in requests]

    def on(self, catalogue: Catalogue, changed: Rows) -> FeatureRanker:
        """The same over a catalogue with appended items; what is known of them comes with `knowing`."""
        return FeatureRanker(catalogue, self.snapshot.with_items((), catalogue.index), self.weights, self.counts)

    def knowing(self, items: Sequence[Item]) -> FeatureRanker:
        """The same with category, price and age of these items, which the catalogue holds."""
        snapshot = self.snapshot.with_items(items, self.catalogue.index)
        return FeatureRanker(self.catalogue, snapshot, self.weights, self.counts)

    def save(self, folder: Path) -> None:
        """Writes `arrays.safetensors` and `settings.json`; the catalogue is the bundle's."""
        self.snapshot.save(folder, {"weights": self.weights})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue) -> FeatureRanker:
        """The ranker that `save` wrote, over the catalogue it was fitted on."""
        data, _ = arrays.read(folder)
        return cls(catalogue, Snapshot.load(folder), data["weights"])

    def named(self, request: Request, row: int) -> Mapping[str, float]:
        """All scaled features of one candidate by name."""
        one = self.online.scaled(request)[row]
        return {feature.name: float(value) for feature, value in zip(self.snapshot.settings.features, one, strict=True)}


def used_columns(features: Sequence[Feature]) -> list[int]:
    """The features that can order a list and do not repeat the incoming order."""
    return [at for at, one in enumerate(features) if one.varies and not one.name.startswith("incoming_")]


def _learned(features: Path, names: Sequence[str]) -> Floats:
    asked = pq.read_table(features / "requests.parquet", columns=[c.SPLIT, c.HISTORY_ITEMS])
    chosen = np.flatnonzero(asked[c.SPLIT].to_numpy(zero_copy_only=False) == c.VALIDATION)
    known = pc.list_value_length(asked[c.HISTORY_ITEMS]).fill_null(0).to_numpy() > 0
    filters = None if not len(chosen) else pc.field(c.REQUEST_ROW).isin(chosen.tolist())
    table = pq.read_table(features / CANDIDATES_FILE, columns=[c.REQUEST_ROW, c.LABEL, *names], filters=filters)
    rows, labels = table[c.REQUEST_ROW].to_numpy(), table[c.LABEL].to_numpy()
    values = np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32)
    starts = np.flatnonzero(np.diff(rows, prepend=-1)) if len(chosen) else np.zeros(0, np.int64)
    weights = np.zeros((2, len(names)), np.float32)
    for group in (0, 1):
        mine = [at for at, start in enumerate(starts) if int(known[rows[start]]) == group]
        ends = np.append(starts, len(rows))
        parts = [slice(ends[at], ends[at + 1]) for at in mine]
        lists = to_lists([values[part] for part in parts], [labels[part] for part in parts])
        if len(lists) >= LEAST_LISTS:
            weights[group] = learn_weights(lists, weights[group], STRENGTH)
    return weights
