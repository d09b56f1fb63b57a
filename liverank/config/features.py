"""How histories, requests and candidate lists are built."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from liverank.config.base import Section
from liverank.config.candidates import CandidateConfig


class FeatureConfig(Section):
    """Feature engineering on the event stream."""

    engine: Literal["duckdb", "spark"] = Field("duckdb", description="What computes: DuckDB here, or a Spark session.")
    spark_master: str = Field(
        "", description="Spark's master, e.g. local[2], spark://host:7077, k8s://...; empty: the session's own default."
    )
    history_length: int = Field(200, ge=1, le=1000, description="Events before each request that are kept.")
    session_gap_minutes: float = Field(30, gt=0, description="Minutes without an event that end a session.")
    popularity_days: tuple[Annotated[int, Field(ge=1, le=3650)], ...] = Field(
        (1, 7, 30), description="Whole days of each trailing window of popularity, click and purchase rates."
    )
    view_types: tuple[str, ...] = Field(
        ("view",), description="Event types that count as an item shown where they answer no shown list."
    )
    click_types: tuple[str, ...] = Field(("click",), description="Event types that count as a click.")
    purchase_types: tuple[str, ...] = Field(("purchase",), description="Event types that count as a purchase.")
    rate_strength: float = Field(
        20, gt=0, description="Times shown that the rate of all items weighs in an item's rate (smoothing)."
    )
    profile_events: int = Field(500, ge=1, le=10_000, description="Latest events that a user's profile sums up.")
    profile_categories: int = Field(10, ge=1, le=1000, description="Categories a user's profile names at most.")
    price_attribute: str = Field("price", description="Item attribute (a number) whose bands a user's profile counts.")
    price_bands: int = Field(5, ge=2, le=100, description="Price bands, each with as many items as the others.")
    cap_quantile: float = Field(
        0.999, gt=0.5, le=1, description="Quantile of the training events that caps each number (1 for no cap)."
    )
    cooccurrence_window: int = Field(5, ge=1, le=50, description="Largest distance, in events, of items met together.")
    cooccurrence_items: int = Field(50, ge=0, description="Neighbours kept for an item; 0 counts none.")
    candidates: int = Field(100, ge=2, le=1000, description="Candidates a request gets from the retriever.")
    test_share: float = Field(0.1, gt=0, lt=0.5, description="Share of requests, the latest, kept for the test.")
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="Share of requests just before the test's.")
    max_requests: int = Field(1000, ge=10, description="Most requests in each of validation and test.")
    max_train_requests: int = Field(5000, ge=0, description="Most requests with candidates from the training time.")
    train_lists: bool = Field(
        False,
        description="Make lists also for training requests that were shown none: a second retriever, fitted on the "
        "earlier half of the training time. The package's own rankers do not read them.",
    )
    gap_seconds: float = Field(0, ge=0, description="Seconds between the splits whose events belong to none.")
    part_events: int = Field(
        100_000,
        ge=1,
        description="Events and lists after which a part of the kept features ends, with its UTC day of arrival.",
    )
    memory_limit: str = Field("2GB", description="Memory the engine may take before it spills to disk (DuckDB syntax).")
    candidate: CandidateConfig = CandidateConfig()
