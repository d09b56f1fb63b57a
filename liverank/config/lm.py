"""The language-model re-ranker and how it is fine-tuned."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from liverank.config.base import Section
from liverank.config.endpoint import EndpointConfig


class PrivacyConfig(Section):
    """Differentially private fine-tuning (DP-SGD); wants Opacus: `pip install 'liverank[privacy]'`."""

    epsilon: float = Field(
        0.0,
        ge=0,
        description="Bound on what the fine-tuned tensors tell of any one user: below 1 strong, above 10 weak; 0: no "
        "bound. With one a single step of each user is learned from.",
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="Chance that the bound does not hold; well below 1 / users.")
    clip: float = Field(1.0, gt=0, description="Largest norm of one list's gradient.")


class LmConfig(Section):
    """A language model that reads the history and each candidate, fine-tuned on the training events."""

    enabled: bool = Field(False, description="Fine-tune it, and judge whether it makes the blend's lists better.")
    model: str = Field(
        "",
        description="The packaged model's name, a Hugging Face id or a local folder, of an encoder or a decoder; "
        "empty: `training.language_model`.",
    )
    deploy: Literal["auto", "on"] = Field(
        "auto",
        description="auto: it re-ranks only where the validation finds the lists better beyond chance; on: always.",
    )
    top: int = Field(
        20,
        ge=2,
        le=1000,
        description="Best candidates of the blend that it may re-rank; a deadline may leave it fewer.",
    )
    language: Literal["en", "zh"] = Field("en", description="Language of the words between the titles of a history.")
    history_events: int = Field(20, ge=1, le=200, description="Latest events that it reads.")
    history_tokens: int = Field(
        160,
        ge=16,
        le=4096,
        description="Tokens for the history, spent from the newest event backwards.",
    )
    candidate_tokens: int = Field(32, ge=4, le=512, description="Tokens of a candidate's text that it reads.")
    joint_layers: int = Field(
        2,
        ge=0,
        description="Top layers of an encoder in which candidates attend to the history, and which are trained; what "
        "those below make of an item is computed once. Of other models the layers that are trained. 0: all.",
    )
    adapter: Literal["none", "lora"] = Field(
        "none", description="lora: train low-rank adapters in place of the layers themselves, for large models."
    )
    lora_rank: int = Field(16, ge=1, le=512, description="Rank of the adapters.")
    gradient_checkpointing: bool = Field(
        False, description="Compute layers again in the backward pass instead of keeping their states: less memory."
    )
    precision: Literal["auto", "float32"] = Field(
        "auto",
        description="auto: products in bfloat16 on a GPU and, in training, on CPUs with matrix units for it (AMX); "
        "float32: nowhere.",
    )
    loss: Literal["listwise", "lambdarank", "pairwise", "pointwise"] = Field(
        "listwise", description="What training minimises over each list."
    )
    lists: int = Field(20_000, ge=1, description="Steps of users that are drawn to learn from.")
    negatives: int = Field(15, ge=1, le=500, description="Candidates beside the right one, drawn from its list.")
    hard: int = Field(
        50,
        ge=1,
        description="Best items of the count ranker that make a list to learn from; steps whose item is not among them "
        "are not learned from. In private training the item is put among them.",
    )
    batch: int = Field(8, ge=1, description="Lists in a batch, on however many processes.")
    steps: int = Field(1500, ge=1, description="Most steps of the optimiser.")
    minutes: float = Field(
        30,
        gt=0,
        description="Minutes after which training stops, over all runs it took; the best state so far is kept. Where "
        "this is what ends it, the same seed need not give the same model.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    judge_steps: int = Field(150, ge=1, description="Steps between judgements on the validation.")
    judge_lists: int = Field(500, ge=20, description="Validation lists that such a judgement reads.")
    patience: int = Field(4, ge=1, description="Judgements without a gain before training stops.")
    cache_mib: int = Field(
        512, ge=0, description="Most memory for what the untrained layers made of items, in training and in serving."
    )

    privacy: PrivacyConfig = PrivacyConfig()
    judgements: str = Field(
        "", description="File that `liverank distil` wrote: a teacher's orders to learn from beside the events."
    )
    teacher: EndpointConfig = EndpointConfig()

    @field_validator("deploy", mode="before")
    @classmethod
    def _yaml_takes_on_for_a_boolean(cls, value: object) -> object:
        return "on" if value is True else value

    @model_validator(mode="after")
    def _privacy_knows_no_teacher(self) -> Self:
        if self.privacy.epsilon and self.judgements:
            raise ValueError("privacy.epsilon bounds what users' lists tell; judgements are made of the same lists")
        return self
