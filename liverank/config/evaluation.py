"""What is measured before a model may serve, and what it must reach."""

from __future__ import annotations

from pydantic import Field

from liverank.config.base import Section


class GateConfig(Section):
    """When a challenger becomes champion."""

    metric: str = Field("ndcg", description="The deciding metric, at `evaluation.k`.")
    min_gain: float = Field(
        0.0, description="Least mean gain over the champion (absolute) that the paired interval's mean must reach."
    )
    max_loss: float = Field(
        0.01,
        ge=0,
        description="The lower end of the paired interval against the champion may not lie below minus this.",
    )
    beat_baselines: tuple[str, ...] = Field(
        ("popularity",), description="Baselines whose paired interval must lie wholly below the challenger."
    )
    max_slice_loss: float = Field(
        0.05, ge=0, description="Largest mean loss against the champion on any slice with enough requests (absolute)."
    )
    min_requests: int = Field(30, ge=1, description="Test requests (of all, or of a slice) needed for a judgement.")


class EvaluationConfig(Section):
    """Offline evaluation on the test requests."""

    k: int = Field(10, ge=1, le=100, description="Cut-off of every ranking metric.")
    bootstrap_samples: int = Field(1000, ge=100, description="Resamples of the paired bootstrap.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(7, description="Seed of the bootstrap.")
    new_user_events: int = Field(3, ge=0, description="A user with at most this many events before the request is new.")
    cold_item_events: int = Field(3, ge=0, description="An item with at most this many training events is cold.")
    gate: GateConfig = GateConfig()
