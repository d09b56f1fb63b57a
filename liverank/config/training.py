"""The rankers and how they are fitted."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from liverank.config.base import Section
from liverank.config.launch import LaunchConfig
from liverank.config.lm import LmConfig


class CountConfig(Section):
    """The count ranker: windowed transitions, repeats, text similarity and popularity."""

    window: int = Field(20, ge=1, le=50, description="Largest distance, in events, of a counted transition.")
    popularity_power: float = Field(
        0.5, ge=0, le=1, description="Exponent of popularity that damps a transition's target."
    )
    basket_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of two items of one basket (same user, same timestamp), beside 1 for what came next. "
        "What goes together in a basket says little about the next one.",
    )
    max_basket: int = Field(
        1000,
        ge=1,
        description="Items of one basket that transitions count; of a larger one the heaviest, else it would count "
        "billions of pairs.",
    )
    query_items: int = Field(
        10, ge=1, le=200, description="Latest steps of the history that ask (events of one timestamp are one step)."
    )
    query_decay: float = Field(0.7, gt=0, le=1, description="Weight of each step back in the history.")
    half_life_days: float = Field(90, gt=0, description="Days after which a transition counts half.")
    popularity_half_life_days: float = Field(14, gt=0, description="Days after which popularity counts half.")
    established_half_life_days: float = Field(
        60, gt=0, description="Days after which popularity over a long time counts half; beside the short one: a trend."
    )
    repeat_decay: float = Field(
        0.9, gt=0, le=1, description="Weight of each step back when what a user had before is counted."
    )
    max_neighbours: int = Field(1000, ge=1, description="Strongest transitions kept for an item.")
    learn_weights: bool = Field(
        True, description="Learn the weights of its signals from the latest training events; else take fixed ones."
    )


class LinearConfig(Section):
    """The linear ranker: weights from item to item, each item's solved from its users' other items."""

    enabled: bool = Field(True, description="Fit it; without it the blend uses the other signals.")
    neighbours: int = Field(
        100, ge=1, le=1000, description="Items, the nearest by their users, from which an item is foretold."
    )
    ridge: float = Field(
        50.0, ge=0.01, description="Regularisation, in users: what fewer users than that have in common counts little."
    )
    user_items: int = Field(500, ge=2, description="Items of one user that count; of more the heaviest.")
    user_damping: float = Field(
        0.5, ge=0, le=1, description="Exponent of a user's number of items that divides the user's weight."
    )
    items: int = Field(50_000, ge=1, description="Items with weights; of more those with the most users.")


class BlendConfig(Section):
    """How the signals are weighed."""

    cold_price: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="Share of the NDCG on items with training events that may be given up so that items without any "
        "are found. What is most probable alone hardly ever shows them; 0: just that.",
    )


class DistilConfig(Section):
    """What the interest model learns from teachers, beside the events: a small model from larger ones."""

    teachers: tuple[str, ...] = Field(
        (),
        description="Folders of bundles whose interest models teach. They should have seen no later events than this "
        "training's: what they know of the validation would flatter it.",
    )
    seeds: int = Field(
        0,
        ge=0,
        le=16,
        description="Teachers to train first, on the same events, each with a seed of its own; not with `teachers`. "
        "Without either there is no distillation.",
    )
    dimension: int = Field(128, ge=8, description="Width of the teachers trained first, in units.")
    layers: int = Field(2, ge=1, le=12, description="Layers of the teachers trained first.")
    weight: float = Field(0.5, gt=0, le=1, description="Share of the loss that is the divergence from the teachers.")
    temperature: float = Field(
        1.0, gt=0, le=20, description="Divides both models' logits in that part; above 1 less likely items say more."
    )

    @model_validator(mode="after")
    def _one_kind_of_teacher(self) -> Self:
        if self.teachers and self.seeds:
            raise ValueError("give either teachers or seeds")
        return self

    @property
    def enabled(self) -> bool:
        """Whether there are teachers."""
        return bool(self.teachers or self.seeds)


class InterestConfig(Section):
    """The interest model: a network that reads the user's events."""

    enabled: bool = Field(True, description="Train it; without it the blend uses the other signals.")
    block: Literal["attention", "gated", "hstu", "lstm"] = Field(
        "gated",
        description="What a layer is made of. attention: as in SASRec; gated: attention and feed-forward with gates; "
        "hstu: attention without softmax, biased by time; lstm: a recurrent baseline.",
    )
    dimension: int = Field(128, ge=8, description="Width of the model, in units.")
    layers: int = Field(2, ge=1, le=12, description="Layers.")
    heads: int = Field(2, ge=1, description="Attention heads; divides `dimension`.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout rate.")
    id_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of learned item vectors dropped in training, so that text alone will do."
    )
    word_columns: int = Field(
        256,
        ge=0,
        le=2048,
        description="Columns that the words of texts are folded to, beside the language model's; 0 leaves them out.",
    )
    text_hidden: int = Field(256, ge=8, description="Width of the hidden layer between text and item vector.")
    history_length: int = Field(200, ge=2, le=1000, description="Latest steps the model reads.")
    batch_steps: int = Field(
        0,
        ge=0,
        description="Steps (all that a user did at one time) in a batch, padding among them: what one step of the "
        "optimiser sees, on however many processes; 0: a two-hundredth of the training steps, from 512 to 4096.",
    )
    accumulate: int = Field(
        1, ge=1, le=256, description="Parts that a batch is trained in, one after the other: less memory, same result."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute layers again in the backward pass instead of keeping their states: less memory."
    )
    compile: bool = Field(
        False, description="Compile layers with torch.compile: minutes at the start, for large models on a GPU."
    )
    full_softmax_items: int = Field(
        4096, ge=0, description="Items with events up to which all of them are in the softmax; of more it is sampled."
    )
    negatives: int = Field(
        2048,
        ge=1,
        description="Items drawn for a sampled softmax, beside the batch's own; a correction makes up for the drawing.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of the softmax loss.")
    averaging: float = Field(
        0.998,
        ge=0,
        lt=1,
        description="Weight of the past in the moving average of the weights, step by step, which is judged and kept "
        "in place of the last weights; 0: none. Catalogues of 100,000 items on a CPU are trained without.",
    )
    epochs: int = Field(20, ge=1, description="Most passes over the training sequences.")
    patience: int = Field(5, ge=1, description="Epochs without a better validation NDCG before training stops.")
    checkpoint_steps: int = Field(200, ge=1, description="Steps between checkpoints.")
    distil: DistilConfig = DistilConfig()

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        taught = {"distil.dimension": self.distil.dimension} if self.distil.seeds else {}
        for name, width in {"dimension": self.dimension, **taught}.items():
            if width % self.heads:
                raise ValueError(f"heads ({self.heads}) must divide {name} ({width})")
            if width // self.heads % 2:
                raise ValueError(f"{name} / heads ({width} / {self.heads}) must be even")
        return self


class TextTuningConfig(Section):
    """Fine-tuning of the language model: texts of items that users take together come to lie together."""

    tune: Literal["off", "auto", "on"] = Field(
        "off", description="Whether to tune the language model on the training events; auto: where there is a GPU."
    )
    layers: int = Field(
        2, ge=0, description="Top layers of the language model that are tuned; 0: all of it, which wants a GPU."
    )
    steps: int = Field(400, ge=1, description="Most steps of the optimiser.")
    minutes: float = Field(
        30,
        gt=0,
        description="Minutes after which tuning stops, over all runs it took; the best state so far is kept. Where "
        "this is what ends it, the same seed need not give the same model.",
    )
    batch: int = Field(128, ge=2, description="Pairs of items in a batch; all texts of a batch compete.")
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of AdamW.")
    temperature: float = Field(0.07, gt=0, description="Temperature of the softmax over cosines.")
    window: int = Field(5, ge=1, le=50, description="Largest distance, in steps of a user, of two items of a pair.")
    held_out: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="Share of the texts (at most 1,000) without a pair in tuning, on which it is judged.",
    )
    judge_steps: int = Field(50, ge=1, description="Steps between judgements on the texts that were held out.")
    patience: int = Field(3, ge=1, description="Judgements without a gain before tuning stops.")
    cache_mib: int = Field(
        1024, ge=0, description="Most memory for what the untuned layers made of the texts; of more it is made anew."
    )

    @field_validator("tune", mode="before")
    @classmethod
    def _yaml_takes_on_and_off_for_booleans(cls, value: object) -> object:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class RefitConfig(Section):
    """The last part of training: the rankers learn the validation's events too, which are the latest there are."""

    enabled: bool = Field(
        True,
        description="Fit the rankers of the bundle with the validation's events too, once these have chosen epochs and "
        "weights, which stay; without it the bundle has never seen the events that it was judged on.",
    )
    epochs: int = Field(2, ge=1, le=20, description="Passes over all events, from the interest model that was chosen.")
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW in these passes.")


class TrainingConfig(Section):
    """Everything the train step fits."""

    seed: int = Field(7, description="Seed of every random choice in training.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes a GPU when there is one."
    )
    threads: int = Field(
        1,
        ge=0,
        le=256,
        description="CPU threads of torch while the interest model trains; 0 leaves torch's default. Models of this "
        "size gain little from more, and lose much where other processes want the same cores.",
    )
    language_model: str = Field(
        "all-MiniLM-L6-v2", description="The packaged model's name, a Hugging Face id or a local folder."
    )
    max_tokens: int = Field(48, ge=4, le=512, description="Tokens of an item's text that the language model reads.")
    text: TextTuningConfig = TextTuningConfig()
    feature_ranker: bool = Field(
        False,
        description="Compute the features of candidates (`features.candidate`) and let the blend weigh them too. "
        "Costs time in the features step and under a millisecond a request.",
    )
    launch: LaunchConfig = LaunchConfig()
    count: CountConfig = CountConfig()
    linear: LinearConfig = LinearConfig()
    blend: BlendConfig = BlendConfig()
    interest: InterestConfig = InterestConfig()
    lm: LmConfig = LmConfig()
    refit: RefitConfig = RefitConfig()
