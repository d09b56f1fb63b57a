"""Which answers record the feature values that they used, and these values, for `liverank data check-skew`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from liverank.events import FeatureValues
from liverank.ranking.blend_signals import FEATURES
from liverank.ranking.feature_ranker import FeatureRanker
from liverank.ranking.lm.cascade import blend_of
from liverank.ranking.protocol import Ranker, Request


def sampled(impression_id: str, share: float) -> bool:
    """Whether the impression records values: a share of all ids, the same for the same id."""
    return zlib.crc32(impression_id.encode()) < share * 2**32


@dataclass(frozen=True, slots=True)
class UsedFeatures:
    """The raw features of all candidates of a request."""

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    """`[candidates, features]`."""

    def of(self, rows: Sequence[int], item_ids: Sequence[str]) -> FeatureValues | None:
        """The values of some candidates as an impression carries them; None where none can be told.

        A record of the log cannot hold a number that is not finite, so a candidate with one is left out.
        """
        kept = [row for row in rows if np.isfinite(self.values[row]).all()]
        if not kept:
            return None
        return FeatureValues(
            names=list(self.names), item_ids=[item_ids[row] for row in kept], values=self.values[kept].tolist()
        )


def used_features(ranker: Ranker, request: Request) -> UsedFeatures | None:
    """What the ranker that has just ranked the request knew of its candidates; None for one without such features.

    They are computed again, by the very objects that ranked.
    """
    blend = blend_of(ranker)
    source: Any = blend.rankers.get(FEATURES) if blend else None
    if source is None:
        return None
    features = cast(FeatureRanker, source)
    return UsedFeatures(features.feature_names, features.online.raw(request))
