"""The HTML report of an evaluation: plots and tables, self-contained."""

from __future__ import annotations

from liverank.evaluation.report.page import REPORT_FILE, page, write_report

__all__ = ["REPORT_FILE", "page", "write_report"]
