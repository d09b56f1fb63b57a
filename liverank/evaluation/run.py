"""The evaluate step: a bundle, and the champion if there is one, judged on the same test requests."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from liverank import columns as c
from liverank import progress
from liverank.config.evaluation import EvaluationConfig, GateConfig
from liverank.config.training import TrainingConfig
from liverank.errors import DataError
from liverank.evaluation.ablation import Ablations, find_ablations
from liverank.evaluation.attributes import read_told
from liverank.evaluation.budgets import Budgets, find_budgets
from liverank.evaluation.faithfulness import Faithfulness, find_faithfulness
from liverank.evaluation.findings import EvaluationResult, Findings, bootstrap_of, find
from liverank.evaluation.gate import CHAMPION, Evidence, Verdict, judge
from liverank.evaluation.learning_curve import LearningCurve, find_learning_curve
from liverank.evaluation.lists import Lists
from liverank.evaluation.measure import lists_of
from liverank.evaluation.order_sensitivity import find_order_sensitivity
from liverank.evaluation.records import write_per_request, write_reference
from liverank.evaluation.report import write_report
from liverank.evaluation.scoring import score_rankers
from liverank.evaluation.text_robustness import TextRobustness, find_text_robustness
from liverank.output import output_folder
from liverank.ranking.baselines import IncomingOrder
from liverank.ranking.bundle import Bundle
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.data import LabelledRequest, check_features, load_requests, load_training_data
from liverank.ranking.lm.cascade import CascadeRanker, blend_of
from liverank.ranking.protocol import Ranker

CURVE_FOLDER = "learning-curve"
"""Folder in `out` with the text embeddings and training states of a learning curve that is not finished."""


def evaluate(
    features: Path, bundle: Path, out: Path, config: EvaluationConfig, champion: Path | None = None
) -> EvaluationResult:
    """Scores the test requests with every ranker of `bundle`, the incoming order and the champion, and judges.

    Writes `metrics.json`, `report.html`, `per_request.parquet` and `reference.parquet` into `out`.

    Args:
        features: the features folder whose test split is used.
        bundle: the challenger.
        out: folder for the results; made when missing.
        config: cut-off, intervals, slices and the gate.
        champion: folder of the bundle that serves now; None for a first model.

    Raises:
        DataError: no features folder, or no test request in it.
        BundleError: a bundle is altered or its scores are not usable.
        OutputError: nothing can be written into `out`.
    """
    output_folder(out)
    requests = _test_requests(features)
    challenger = load_bundle(bundle)
    current = load_bundle(champion) if champion else None
    primary, catalogue = challenger.primary.name, challenger.catalogue
    rankers, told = _rankers(challenger, current), read_told(features, config.provider_attribute)
    scores = score_rankers(rankers, requests)
    with progress.stage("metrics and intervals"):
        lists = lists_of(requests, catalogue)
        findings = find(requests, lists, scores, primary, catalogue, config, told)
    own = {name: ranker for name, ranker in rankers.items() if name != CHAMPION}
    shuffles = config.order_shuffles, config.order_requests, config.seed
    findings = replace(
        findings,
        order=find_order_sensitivity(own, requests, scores, *shuffles),
        ablations=_ablations(challenger, requests, lists, config),
        learning_curve=_learning_curve(challenger, features, requests, lists, config, out),
        budgets=_budgets(challenger, requests, lists, config),
        text_robustness=_text_robustness(challenger, requests, config),
        faithfulness=_faithfulness(challenger, requests, config),
    )
    verdict = _verdict(findings, config.gate, _epsilon(challenger))
    result = EvaluationResult(
        verdict.promote, verdict.reasons, findings.flat, findings, challenger.hash, current.hash if current else ""
    )
    write_per_request(out, requests, findings.per_request)
    write_reference(out, requests, scores[primary], lists, catalogue, config.k)
    write_report(out, result)
    result.write(out)
    _say(result)
    return result


def _test_requests(features: Path) -> list[LabelledRequest]:
    check_features(features)
    requests = load_requests(features, c.TEST)
    if not requests:
        raise DataError(f"{features} holds no test request.", "Give more data, or a larger features.test_share.")
    return requests


def _rankers(challenger: Bundle, current: Bundle | None) -> dict[str, Ranker]:
    """Primary first, then the bundle's other rankers, the incoming order and the champion."""
    primary = challenger.primary
    rankers: dict[str, Ranker] = {primary.name: primary}
    # The language model is asked about the best of a list alone: the cascade stands for it.
    left_out = {primary.name, "lm"}
    rankers |= {name: ranker for name, ranker in challenger.rankers.items() if name not in left_out}
    rankers["incoming"] = IncomingOrder()
    if current is not None:
        rankers[CHAMPION] = current.primary
    return rankers


def _ablations(
    bundle: Bundle, requests: Sequence[LabelledRequest], lists: Lists, config: EvaluationConfig
) -> Ablations | None:
    blend = blend_of(bundle.primary)
    if not config.ablations or blend is None:
        return None
    bootstrap = bootstrap_of(requests, config)
    return find_ablations(blend, requests, lists, config.gate.metric, config.k, bootstrap)


def _budgets(
    bundle: Bundle, requests: Sequence[LabelledRequest], lists: Lists, config: EvaluationConfig
) -> Budgets | None:
    cascade = bundle.primary
    if not isinstance(cascade, CascadeRanker):
        return None
    bootstrap = bootstrap_of(requests, config)
    return find_budgets(cascade, requests, lists, config.budgets_ms, config.gate.metric, config.k, bootstrap)


def _text_robustness(
    bundle: Bundle, requests: Sequence[LabelledRequest], config: EvaluationConfig
) -> TextRobustness | None:
    cascade = bundle.primary
    if not isinstance(cascade, CascadeRanker):
        return None
    return find_text_robustness(cascade, requests, config.text_requests, config.seed)


def _faithfulness(bundle: Bundle, requests: Sequence[LabelledRequest], config: EvaluationConfig) -> Faithfulness | None:
    blend = blend_of(bundle.primary)
    if blend is None:
        return None
    bootstrap = bootstrap_of(requests, config)
    return find_faithfulness(blend, requests, config.explain_requests, config.explain_events, bootstrap)


def _learning_curve(
    bundle: Bundle,
    features: Path,
    requests: Sequence[LabelledRequest],
    lists: Lists,
    config: EvaluationConfig,
    out: Path,
) -> LearningCurve | None:
    if not config.learning_curve:
        return None
    training = TrainingConfig.model_validate(bundle.manifest["config"])
    data, bootstrap = load_training_data(features), bootstrap_of(requests, config)
    curve = find_learning_curve(data, training, requests, lists, config, bootstrap, out / CURVE_FOLDER)
    # The registry keeps the whole of `out`: models that nobody serves have no place there.
    shutil.rmtree(out / CURVE_FOLDER, ignore_errors=True)
    return curve


def _epsilon(bundle: Bundle) -> float | None:
    """Of the fine-tuning of the language model that re-ranks; None where none does."""
    if not isinstance(bundle.primary, CascadeRanker):
        return None
    training = bundle.manifest.get("training", {}).get("lm", {}).get("training", {})
    return float(training.get("epsilon", 0.0))


def _verdict(findings: Findings, gate: GateConfig, epsilon: float | None) -> Verdict:
    evidence = Evidence(
        name=f"{findings.metric.upper()}@{findings.k}",
        requests=findings.judged,
        users=findings.users,
        mine=findings.rankers[findings.primary][findings.metric],
        gaps={name: rows[findings.metric] for name, rows in findings.differences.items()},
        slices=findings.slices,
        groups=findings.groups,
        epsilon=epsilon,
        text_sensitivity=findings.text_robustness.sensitivity if findings.text_robustness else 0.0,
        attack_success=findings.text_robustness.attack_success if findings.text_robustness else 0.0,
        faithfulness=findings.faithfulness.agreement.mean if findings.faithfulness else None,
        order_sensitivity=max((of.changed for of in findings.order if of.ranker == findings.primary), default=0.0),
    )
    return judge(evidence, gate)


def _say(result: EvaluationResult) -> None:
    for reason in result.reasons:
        progress.note(reason)
    progress.note("The gate promotes the new model." if result.promote else "The gate refuses the new model.")
