"""Every ranker keeps the contract."""

from __future__ import annotations

from typing import ClassVar

from liverank.ranking.baselines import IncomingOrder, PopularityRanker
from liverank.ranking.blend import BlendRanker
from liverank.ranking.compress import CompressionSettings, compressed
from liverank.ranking.count import CountRanker
from liverank.ranking.feature_ranker import FeatureRanker
from liverank.ranking.interest import InterestRanker
from liverank.ranking.linear import LinearRanker
from liverank.ranking.zero_shot import ZeroShotRanker
from liverank.text import LanguageModel
from tests.ranking.contract import RankerContract


class TestIncomingOrder(RankerContract):
    def ranker(self, bundle):
        return IncomingOrder()

    def reload(self, ranker, folder, bundle):
        return IncomingOrder.load(folder)


class TestPopularity(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["popularity"]

    def reload(self, ranker, folder, bundle):
        return PopularityRanker.load(folder, bundle.catalogue)


class TestCount(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["count"]

    def reload(self, ranker, folder, bundle):
        return CountRanker.load(folder, bundle.catalogue)


class TestLinear(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["linear"]

    def reload(self, ranker, folder, bundle):
        return LinearRanker.load(folder, bundle.catalogue)


class TestZeroShot(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["zero-shot"]

    def reload(self, ranker, folder, bundle):
        return ZeroShotRanker.load(folder, bundle.catalogue, LanguageModel())


class TestInterest(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["interest"]

    def reload(self, ranker, folder, bundle):
        return InterestRanker.load(folder, bundle.catalogue, LanguageModel())


class TestInterestInInt8(TestInterest):
    FORM: ClassVar[dict[str, object]] = {"network": "int8", "vectors": "int8", "rank": 12}

    def ranker(self, bundle):
        return compressed(bundle.rankers["interest"], CompressionSettings.model_validate(self.FORM))


class TestInterestInOnnx(TestInterestInInt8):
    FORM: ClassVar[dict[str, object]] = {"network": "onnx-int8", "vectors": "float16", "prune_items": 0.3}


class TestFeatures(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["features"]

    def reload(self, ranker, folder, bundle):
        return FeatureRanker.load(folder, bundle.catalogue)


class TestBlend(RankerContract):
    def ranker(self, bundle):
        return bundle.rankers["blend"]

    def reload(self, ranker, folder, bundle):
        return BlendRanker.load(folder, bundle.rankers)
