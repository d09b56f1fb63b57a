"""What evaluation found, as values and as `metrics.json`."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liverank.config.evaluation import EvaluationConfig
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.measure import Measured, differences, flat, means
from liverank.evaluation.slices import SliceResult, find_slices, measure_slices
from liverank.ranking.data import Catalogue, LabelledRequest

METRICS_FILE = "metrics.json"
Table = dict[str, dict[str, Interval]]


@dataclass(frozen=True)
class Findings:
    """The figures that the gate, the report and the registry read."""

    primary: str
    """The ranker that would serve."""
    metric: str
    """The gate's metric."""
    k: int
    confidence: float
    requests: int
    """Test requests."""
    judged: int
    """Of these, requests with a relevant item: the ranking metrics are means over them."""
    users: int
    """Different users of the judged requests."""
    sources: dict[str, int]
    """`impressions` or `retriever` -> test requests."""
    rankers: Table
    """Ranker -> metric -> mean."""
    differences: Table
    """Other ranker -> metric -> paired difference, primary minus the other."""
    slices: list[SliceResult]
    per_request: Mapping[str, Measured] = field(repr=False, compare=False)

    @property
    def flat(self) -> dict[str, float]:
        """Finite numbers by name: `blend/ndcg_at_10`, `blend/ndcg_at_10_low`, `blend_minus_popularity/ndcg_at_10`."""
        return flat(self.rankers, self.differences, self.primary, self.k)


@dataclass(frozen=True)
class EvaluationResult:
    """The gate's verdict and all it rests on."""

    promote: bool
    reasons: list[str]
    metrics: dict[str, float]
    """`findings.flat`."""
    findings: Findings
    bundle_hash: str
    champion_hash: str
    """Empty where there is no champion yet."""

    def to_json(self) -> dict[str, Any]:
        """The content of `metrics.json`; a number that is not finite becomes null."""
        content = {"format": 1, **asdict(self)}
        del content["findings"]["per_request"]
        return _plain(content)

    def write(self, out: Path) -> Path:
        """Writes `metrics.json` into `out`, whole or not at all."""
        path = out / METRICS_FILE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
        return path


def find(
    requests: Sequence[LabelledRequest],
    measured: Mapping[str, Measured],
    primary: str,
    catalogue: Catalogue,
    config: EvaluationConfig,
) -> Findings:
    """Means, paired differences and slices with their intervals."""
    metric = config.gate.metric
    users = [labelled.request.user_id for labelled in requests]
    bootstrap = Bootstrap(users, config.bootstrap_samples, config.confidence, config.seed)
    judged = np.flatnonzero(~np.isnan(measured[primary].per_request[metric]))
    return Findings(
        primary=primary,
        metric=metric,
        k=config.k,
        confidence=config.confidence,
        requests=len(requests),
        judged=len(judged),
        users=len({users[row] for row in judged}),
        sources=dict(Counter(labelled.source for labelled in requests)),
        rankers=means(measured, bootstrap),
        differences=differences(measured, primary, bootstrap),
        slices=measure_slices(find_slices(requests, catalogue, config), measured, primary, bootstrap, config),
        per_request=measured,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
