"""What the monitor watches and when it asks for retraining."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section


class MonitoringConfig(Section):
    """Windows, thresholds, cool-down and budget of the closed loop."""

    window_impressions: int = Field(500, ge=10, description="Impressions in a window.")
    min_impressions: int = Field(100, ge=10, description="Impressions below which no judgement is made.")
    min_judged: int = Field(
        30, ge=2, description="Impressions with a relevant answer below which ranking quality is not judged."
    )
    attribution_seconds: float = Field(
        60,
        ge=0,
        description="Seconds after a window's last impression that its answers have to arrive before it is judged.",
    )
    quality_metric: Literal["ndcg", "mrr", "hit", "answered"] = Field(
        "ndcg", description="Per-request metric that decides, at `evaluation.k`."
    )
    max_quality_loss: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Relative loss of the metric against its reference that fires, interval clear of it.",
    )
    drift_threshold: float = Field(
        0.1,
        gt=0,
        description="Wasserstein (normed) or Jensen-Shannon distance, beyond what sampling alone gives, that is drift.",
    )
    drift_share: float = Field(
        0.5, gt=0, le=1, description="Share of drifted columns that fires when quality suffers too."
    )
    max_degraded_share: float = Field(0.05, ge=0, le=1, description="Share of degraded answers that raises a warning.")
    max_skew: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of answers ranked with another history, or with other feature values, than training makes "
        "of the log that raises a warning (and ends `liverank data check-skew` with 1).",
    )
    skew_impressions: int = Field(
        200, ge=1, description="Impressions of a window whose feature values are compared at most."
    )
    skew_records: int = Field(
        500_000,
        ge=0,
        description="Records of the live store's log that a window's comparison reads at most for the counts of past "
        "days (some 10 s); where they are more, these counts are not compared and the decision says so.",
    )
    sample_rows: int = Field(5000, ge=100, description="Most rows of each side that drift is computed on.")
    embedding_rows: int = Field(500, ge=50, description="Most rows of each side in the drift of text embeddings.")
    cooldown_seconds: float = Field(3600, ge=0, description="Seconds after a retraining run in which none is started.")
    budget_runs: int = Field(4, ge=0, description="Retraining runs allowed within `budget_seconds`.")
    budget_seconds: float = Field(86400, gt=0, description="Seconds of the budget's sliding window.")
    schedule_seconds: float = Field(
        7 * 86400, gt=0, description="Seconds after which a run starts even when nothing fired (the floor)."
    )
    poll_seconds: float = Field(60, gt=0, description="Seconds between looks at the store with --watch.")
    keep_reports: int = Field(
        100, ge=1, description="HTML reports kept, the newest (4 MB each); decision records are kept for ever."
    )
