"""How histories, requests and candidate lists are built."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class FeatureConfig(Section):
    """Feature engineering on the event stream."""

    history_length: int = Field(50, ge=1, le=1000, description="Events before each event or request that are kept.")
    session_gap_minutes: float = Field(30, gt=0, description="Minutes without an event that end a session.")
    popularity_days: tuple[int, ...] = Field((1, 7, 30), description="Whole days of each trailing popularity window.")
    candidates: int = Field(100, ge=2, le=1000, description="Candidates a request gets from the retriever.")
    test_share: float = Field(0.1, gt=0, lt=0.5, description="Share of requests, the latest, kept for the test.")
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="Share of requests just before the test's.")
    max_requests: int = Field(1000, ge=10, description="Most requests in each of validation and test.")
    max_train_requests: int = Field(5000, ge=0, description="Most requests with candidates from the training time.")
    gap_seconds: float = Field(0, ge=0, description="Seconds between the splits whose events belong to none.")
    memory_limit: str = Field("4GB", description="Memory the engine may take before it spills to disk (DuckDB syntax).")
