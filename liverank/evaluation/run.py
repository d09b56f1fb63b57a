"""The evaluate step: a bundle, and the champion if there is one, judged on the same test requests."""

from __future__ import annotations

from pathlib import Path

from liverank import columns as c
from liverank import progress
from liverank.config.evaluation import EvaluationConfig, GateConfig
from liverank.errors import DataError
from liverank.evaluation.findings import EvaluationResult, Findings, find
from liverank.evaluation.gate import CHAMPION, Evidence, Verdict, judge
from liverank.evaluation.measure import lists_of, measure
from liverank.evaluation.records import write_per_request, write_reference
from liverank.evaluation.report import write_report
from liverank.evaluation.scoring import score_rankers
from liverank.ranking.baselines import IncomingOrder
from liverank.ranking.bundle import Bundle, load_bundle
from liverank.ranking.data import LabelledRequest, check_features, load_requests
from liverank.ranking.protocol import Ranker


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
    """
    requests = _test_requests(features)
    challenger = load_bundle(bundle)
    current = load_bundle(champion) if champion else None
    primary, catalogue = challenger.primary.name, challenger.catalogue
    scores = score_rankers(_rankers(challenger, current), requests)
    with progress.stage("metrics and intervals"):
        lists = lists_of(requests, catalogue)
        measured = {name: measure(lists, given, catalogue, config.k) for name, given in scores.items()}
        findings = find(requests, measured, primary, catalogue, config)
    verdict = _verdict(findings, config.gate)
    result = EvaluationResult(
        verdict.promote, verdict.reasons, findings.flat, findings, challenger.hash, current.hash if current else ""
    )
    out.mkdir(parents=True, exist_ok=True)
    write_per_request(out, requests, measured)
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
    rankers |= {name: ranker for name, ranker in challenger.rankers.items() if name != primary.name}
    rankers["incoming"] = IncomingOrder()
    if current is not None:
        rankers[CHAMPION] = current.primary
    return rankers


def _verdict(findings: Findings, gate: GateConfig) -> Verdict:
    evidence = Evidence(
        name=f"{findings.metric.upper()}@{findings.k}",
        requests=findings.judged,
        users=findings.users,
        mine=findings.rankers[findings.primary][findings.metric],
        gaps={name: rows[findings.metric] for name, rows in findings.differences.items()},
        slices=findings.slices,
    )
    return judge(evidence, gate)


def _say(result: EvaluationResult) -> None:
    for reason in result.reasons:
        progress.note(reason)
    progress.note("The gate promotes the new model." if result.promote else "The gate refuses the new model.")
