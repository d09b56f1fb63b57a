"""What evaluation found, as values and as `metrics.json`."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from liverank.config.evaluation import EvaluationConfig
from liverank.evaluation.ablation import Ablations
from liverank.evaluation.attributes import Told
from liverank.evaluation.bootstrap import Bootstrap, Interval
from liverank.evaluation.budgets import Budgets
from liverank.evaluation.calibration import Calibration, find_calibration
from liverank.evaluation.exposure import Audience, Exposure, Shown, audience_of, find_exposure, popularity_lift
from liverank.evaluation.faithfulness import Faithfulness
from liverank.evaluation.finite import finite
from liverank.evaluation.flat_figures import flat_depth
from liverank.evaluation.gate import CHAMPION
from liverank.evaluation.groups import GroupingResult, find_groupings, measure_groupings
from liverank.evaluation.learning_curve import LearningCurve
from liverank.evaluation.lists import Lists
from liverank.evaluation.measure import Measured, differences, flat, means, measure_ranked
from liverank.evaluation.order_sensitivity import OrderSensitivity
from liverank.evaluation.slices import SliceResult, find_slices, measure_slices
from liverank.evaluation.text_robustness import TextRobustness
from liverank.ranking.data import Catalogue, LabelledRequest
from liverank.ranking.protocol import Scores

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
    exposure: Exposure
    groups: list[GroupingResult]
    calibration: Calibration | None
    """Of the primary ranker; None where no list has an answer."""
    per_request: Mapping[str, Measured] = field(repr=False, compare=False)
    order: list[OrderSensitivity] = field(default_factory=list)
    """Empty where `evaluation.order_shuffles` is 0."""
    ablations: Ablations | None = None
    """None where they were not asked for."""
    learning_curve: LearningCurve | None = None
    """None where it was not asked for."""

    budgets: Budgets | None = None
    """None where no language model re-ranks."""
    text_robustness: TextRobustness | None = None
    """None where no language model re-ranks, or `evaluation.text_requests` is 0."""
    faithfulness: Faithfulness | None = None
    """None where no blend serves, no test request has an event to name, or `evaluation.explain_requests` is 0."""

    @property
    def flat(self) -> dict[str, float]:
        """Finite numbers by name: `blend/ndcg_at_10`, `blend/ndcg_at_10_low`, `blend_minus_popularity/ndcg_at_10`.

        After the rankers' come `calibration/...`, `exposure/...`, `group_gap/...`, `order/...`, `ablation/...`,
        `learning_curve/...`, `budget/...`, `texts/...` and `faithfulness/...`.
        """
        numbers = {**flat(self.rankers, self.differences, self.primary, self.k), **flat_depth(self)}
        return {key: value for key, value in numbers.items() if math.isfinite(value)}


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
        return finite(content)

    def write(self, out: Path) -> Path:
        """Writes `metrics.json` into `out`, whole or not at all."""
        path = out / METRICS_FILE
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
        return path


def bootstrap_of(requests: Sequence[LabelledRequest], config: EvaluationConfig) -> Bootstrap:
    """The resamples that all intervals of an evaluation share."""
    users = [labelled.request.user_id for labelled in requests]
    return Bootstrap(users, config.bootstrap_samples, config.confidence, config.seed)


def find(
    requests: Sequence[LabelledRequest],
    lists: Lists,
    scores: Mapping[str, Sequence[Scores]],
    primary: str,
    catalogue: Catalogue,
    config: EvaluationConfig,
    told: Told | None = None,
) -> Findings:
    """Means, paired differences, slices, exposure, groups and calibration, with their intervals.

    Args:
        requests: the test requests.
        lists: of the requests.
        scores: ranker -> scores of each request, `[candidates]`.
        primary: the ranker that would serve.
        catalogue: the items that the primary ranker knows.
        config: cut-off, intervals, slices and groups.
        told: attributes of users and providers of items, as far as there are any.
    """
    metric, told, bootstrap = config.gate.metric, told or Told(), bootstrap_of(requests, config)
    audience = audience_of(requests, lists, catalogue, told.providers, config)
    measured, shown = _measured(audience, scores, config.k)
    rankers, gaps = means(measured, bootstrap), differences(measured, primary, bootstrap)
    for table, lifts in zip((rankers, gaps), popularity_lift(audience, shown, primary, bootstrap), strict=True):
        for name, lift in lifts.items():
            table[name]["popularity_lift"] = lift
    mine, rival = (measured[name].per_request[metric] for name in (primary, rival_of(measured)))
    judged = np.flatnonzero(~np.isnan(mine))
    return Findings(
        primary=primary,
        metric=metric,
        k=config.k,
        confidence=config.confidence,
        requests=len(requests),
        judged=len(judged),
        users=len({bootstrap.users[row] for row in judged.tolist()}),
        sources=dict(Counter(labelled.source for labelled in requests)),
        rankers=rankers,
        differences=gaps,
        slices=measure_slices(find_slices(requests, catalogue, config), measured, primary, bootstrap, config),
        exposure=find_exposure(audience, shown, primary, bootstrap),
        groups=measure_groupings(find_groupings(requests, told.users, config), mine, rival, bootstrap, config),
        calibration=find_calibration(primary, requests, scores[primary], bootstrap),
        per_request=measured,
    )


def _measured(
    audience: Audience, scores: Mapping[str, Sequence[Scores]], k: int
) -> tuple[dict[str, Measured], dict[str, Shown]]:
    measured, shown = {}, {}
    for name, given in scores.items():
        ranked = audience.lists.ranked(given)
        of, seen = measure_ranked(ranked, audience.catalogue, k), audience.shown(ranked, k)
        measured[name] = replace(
            of, per_request={**of.per_request, **seen.per_request}, exposure_gini=audience.gini(seen)
        )
        shown[name] = seen
    return measured, shown


def rival_of(rankers: Collection[str]) -> str:
    """Whom slices, groups and the distribution compare with: the champion, else the incoming order."""
    return CHAMPION if CHAMPION in rankers else "incoming"
