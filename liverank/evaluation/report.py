"""The HTML report of an evaluation."""

from __future__ import annotations

from pathlib import Path

from liverank.evaluation.findings import EvaluationResult

REPORT_FILE = "report.html"


def write_report(out: Path, result: EvaluationResult) -> Path:
    """Writes the report."""
    path = out / REPORT_FILE
    path.write_text("<!doctype html>" + "<br>".join(result.reasons), encoding="utf-8")
    return path
