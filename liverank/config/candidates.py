"""What is computed of each candidate of a request, the same offline and online."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section


class CandidateConfig(Section):
    """Features of candidates, their scaling, and negatives for training."""

    table: bool = Field(
        False,
        description="Write the table of candidate features and what serving needs to compute the same; "
        "`training.feature_ranker` does so by itself.",
    )
    last_steps: int = Field(
        10, ge=1, le=200, description="Latest steps of the history that candidates are compared with."
    )
    step_decay: float = Field(0.7, gt=0, le=1, description="Weight of each step back in decayed sums.")
    neighbours: int = Field(50, ge=1, le=1000, description="Most similar items kept for each item.")
    shrinkage: float = Field(
        5, ge=0, description="Common users (or sessions) at which a similarity counts half; guards against chance."
    )
    max_profile: int = Field(
        200, ge=2, description="Items of a user, or of a session, that form pairs: the latest. Bounds the work."
    )
    device_key: str = Field("device", description="Key of a request's context that names the device.")
    one_hot: int = Field(8, ge=0, le=64, description="Most frequent surfaces, and devices, with a column of their own.")
    scaling: Literal["robust", "standard"] = Field(
        "standard", description="Centre and scale: median and interquartile range, or mean and standard deviation."
    )
    popular_negatives: int = Field(4, ge=0, description="Negatives of a training request drawn by popularity.")
    hard_negatives: int = Field(4, ge=0, description="Negatives of a training request from what goes with its history.")
    popularity_power: float = Field(
        0.75, ge=0, le=1, description="Exponent of popularity in the drawing of negatives; 0 draws evenly."
    )
    label_window_hours: float = Field(
        24, ge=0, description="Hours after a request in which what its user liked is no negative of it."
    )
    seed: int = Field(7, ge=0, description="Seed of the negatives.")
