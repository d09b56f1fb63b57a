"""What is measured before a model may serve, and what it must reach."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

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
    max_group_gap: float | None = Field(
        None,
        ge=0,
        description="Difference of the deciding metric between the best and the worst group of users (absolute) above "
        "which the gate refuses, if its interval lies wholly above zero; groups by user attribute or context, not by "
        "history or activity. Empty: reported, not judged.",
    )
    max_order_sensitivity: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of requests whose ranking may change when the candidates come in another order. A sound "
        "ranker has 0; the room is for scores that rounding tells apart in one place of a batch and not in another.",
    )
    max_text_sensitivity: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of requests whose first item may change when case, punctuation or spaces of the texts do; "
        "judged where a language model re-ranks.",
    )
    max_epsilon: float | None = Field(
        None,
        ge=0,
        description="Largest epsilon of differential privacy that a language model which re-ranks may have been "
        "fine-tuned with; one that was fine-tuned without is refused then. Empty: not judged.",
    )
    min_faithfulness: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the explained items whose score must change in the direction told when the named events "
        "are taken out of the history; without such items the gate refuses. Empty: reported, not judged.",
    )
    max_attack_success: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of requests in which an instruction inside an item's text may bring the item to the first "
        "place; judged where a language model re-ranks.",
    )


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
    head_share: float = Field(
        0.2, gt=0, lt=1, description="Share of the catalogue's items, the most popular first, that is not long tail."
    )
    provider_attribute: str = Field(
        "provider",
        description="Attribute of items that names who offers them; where no item has it, providers are left out.",
    )
    exposure_groups: int = Field(
        12, ge=1, description="Categories and providers shown one by one, the most frequent candidates first."
    )
    user_context: tuple[str, ...] = Field(
        ("country", "language", "locale", "region"),
        description="Context keys that tell who a user is: groups of users are compared by them and by every attribute "
        "of users.",
    )
    order_shuffles: int = Field(
        2, ge=0, description="Times each list is scored again with its candidates shuffled; 0 leaves that out."
    )
    order_requests: int = Field(
        500, ge=1, description="Test requests that are scored again shuffled, spread evenly over all."
    )
    budgets_ms: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (5, 10, 20, 50, 100),
        description="Milliseconds for the language model to judge the cascade by, on the machine that evaluates.",
    )
    text_requests: int = Field(
        100,
        ge=0,
        description="Test requests whose texts are changed, harmlessly and in bad faith, to see what a language model "
        "makes of that; 0 leaves it out.",
    )
    explain_requests: int = Field(
        100,
        ge=0,
        description="Test requests whose best items' named events are taken out of the history, to see whether they "
        "matter as was said; 0 leaves that out.",
    )
    explain_events: int = Field(
        3, ge=1, le=100, description="Items of a history that are left out to find the named; as in serving."
    )
    ablations: bool = Field(
        False,
        description="Whether the blend is learned again without each of its parts, to tell what the part brings: costs "
        "scoring the test requests once more.",
    )
    learning_curve: bool = Field(
        False,
        description="Whether all rankers are fitted on shares of the training events: costs a fit for each share.",
    )
    learning_curve_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.1, 0.2, 0.4, 0.7, 1.0), min_length=2, description="Shares of the training events, in rising order."
    )
    learning_curve_by: Literal["time", "users"] = Field(
        "time",
        description="What a share is: the latest events, as if logging had begun later, or all events of some users.",
    )
    gate: GateConfig = GateConfig()

    @field_validator("learning_curve_shares")
    @classmethod
    def _rising(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if any(first >= second for first, second in pairwise(shares)):
            raise ValueError("the shares must rise")
        return shares
