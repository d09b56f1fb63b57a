"""What is measured before a model may serve, and what it must reach."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section

RankingMetric = Literal["ndcg", "hit_rate", "recall", "mrr", "map", "precision"]
Baseline = Literal["incoming", "popularity", "count", "zero-shot"]


class GateConfig(Section):
    """When a challenger becomes champion."""

    metric: RankingMetric = Field("ndcg", description="The deciding metric, at `evaluation.k`.")
    min_gain: float = Field(
        0.0, description="Least mean gain over the champion (absolute), on the same lists, in units of the metric."
    )
    max_loss: float = Field(
        0.01,
        ge=0,
        description="Loss against the champion (absolute) that the paired interval's lower end must rule out.",
    )
    beat_baselines: tuple[Baseline, ...] = Field(
        ("popularity",),
        description="Baselines that a first model must beat, the paired interval wholly above zero; with a champion "
        "they are reported, and the champion decides.",
    )
    max_slice_loss: float = Field(
        0.05,
        ge=0,
        description="Mean loss against the champion on a slice with enough requests (absolute) above which the gate "
        "refuses, if the slice's paired interval lies wholly below zero.",
    )
    min_requests: int = Field(30, ge=1, description="Judged requests (of all, or of a slice) needed for a judgement.")
    min_users: int = Field(10, ge=1, description="Different users among the judged requests needed for a judgement.")


class EvaluationConfig(Section):
    """Offline evaluation on the test requests."""

    k: int = Field(10, ge=1, le=100, description="Cut-off of every ranking metric, in places of the list.")
    bootstrap_samples: int = Field(1000, ge=100, description="Resamples of the paired bootstrap.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(7, description="Seed of the bootstrap.")
    new_user_events: int = Field(3, ge=0, description="A user with at most this many events before the request is new.")
    cold_item_events: int = Field(3, ge=0, description="An item with at most this many training events is cold.")
    slice_values: int = Field(
        8, ge=1, description="Most frequent values of the surface and of each context key that become a slice."
    )
    gate: GateConfig = GateConfig()
