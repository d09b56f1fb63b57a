"""Size, seed and switches of the synthetic world; docs/synthetic.md says what each does to the data."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from liverank.config.base import Section

MIXTURE: Final = ("duplicate", "unknown_item", "future", "unknown_type", "negative_value", "no_user")
"""Kinds of dirt that a single number asks for, in equal parts."""


class DirtShares(Section):
    """How much of what is broken on purpose, as shares of the good rows of the table named.

    Every kind adds rows beside the good ones; `late` and `out_of_order` alone change when good rows arrive.
    """

    duplicate: float = Field(0, ge=0, le=0.5, description="Of interactions: told twice, with the same id.")
    unknown_item: float = Field(0, ge=0, le=0.5, description="Of interactions: the item is not in the catalogue.")
    future: float = Field(0, ge=0, le=0.5, description="Of interactions: ten years ahead.")
    unknown_type: float = Field(0, ge=0, le=0.5, description="Of interactions: the type `hover`.")
    negative_value: float = Field(0, ge=0, le=0.5, description="Of interactions: the value -1.")
    no_user: float = Field(0, ge=0, le=0.5, description="Of interactions: no user (among the rejected rows).")
    broken_field: float = Field(
        0, ge=0, le=0.5, description="Of interactions: words for a number, a time cut off (among the rejected rows)."
    )
    late: float = Field(0, ge=0, le=1, description="Of interactions: arrive hours to days after they happened.")
    out_of_order: float = Field(0, ge=0, le=1, description="Of interactions: overtaken by others for up to 5 minutes.")
    position_gap: float = Field(0, ge=0, le=0.5, description="Of impressions: a position is missing in the list.")
    bad_propensity: float = Field(0, ge=0, le=0.5, description="Of impressions: propensities of 0 and of 1.5.")
    empty_text: float = Field(0, ge=0, le=0.5, description="Of items: no title and no text.")
    cut_text: float = Field(0, ge=0, le=0.5, description="Of items: the text ends in the middle of a word.")
    bad_encoding: float = Field(0, ge=0, le=0.5, description="Of items: UTF-8 read as Latin-1.")


class SyntheticSettings(Section):
    """Size, seed and switches of the synthetic world."""

    users: int = Field(2500, ge=1, description="Users.")
    items: int = Field(1200, ge=20, description="Items.")
    days: int = Field(60, ge=1, description="Days of traffic, from 2026-01-01 UTC on.")
    impressions_per_user: float = Field(7.3, ge=1, le=600, description="Mean lists shown to a user.")
    shown: int = Field(20, ge=2, le=100, description="Items in a shown list.")
    seed: int = Field(7, ge=0, description="Seed of everything.")

    drift_at: float | None = Field(None, ge=0, description="Day from which other things go together; empty: never.")
    taste_drift: float = Field(0, ge=0, le=30, description="Share of a user's tastes that turns over in 30 days.")
    popularity_drift: float = Field(0, ge=0, le=30, description="Share of what is popular that turns over in 30 days.")

    activity: Literal["gamma", "lognormal"] = Field("gamma", description="Law of the lists of a user.")
    activity_spread: float = Field(
        0.8, gt=0, le=5, description="Shape of the gamma law (small: longer tail), sigma of the lognormal one."
    )
    least_impressions: int = Field(1, ge=1, le=100, description="Lists of the least active user.")
    most_impressions: int = Field(80, ge=1, le=5000, description="Lists of the most active user.")
    session_lists: float = Field(2.5, ge=1, le=100, description="Mean lists of a session.")
    new_users: float = Field(1, ge=0, le=1, description="Share of users who arrive while traffic runs.")
    last_arrival: float = Field(
        0.8, ge=0, le=1, description="Arrivals are (uniform from 0 to this) ** arrival_power, as a part of the days."
    )
    arrival_power: float = Field(2, ge=0.1, le=10, description="Power of arrivals: more is earlier.")
    day_season: float = Field(1, ge=0, le=1.4, description="Strength of evenings over nights; 0: none.")
    week_season: float = Field(0, ge=0, le=1, description="Strength of weekends over weekdays; 0: none.")
    year_season: float = Field(0, ge=0, le=1, description="Strength of December over June; 0: none.")
    bots: float = Field(0, ge=0, le=0.5, description="Share of users that are crawlers.")
    bot_lists: int = Field(200, ge=1, le=10_000, description="Lists that a crawler opens, every item of each.")
    bot_seconds: float = Field(5, ge=0.1, le=600, description="Seconds between two items of a crawler.")

    position_curve: Literal["power", "logarithmic", "geometric"] = Field(
        "power", description="Curve by which lower positions are looked at less."
    )
    position_power: float = Field(
        0.3, ge=0, description="Power p: position k is looked at with chance 1 / k**p (or as the curve says)."
    )
    cascade_stop: float = Field(0, ge=0, le=1, description="Chance that a click ends the look down the list.")
    explore_share: float = Field(0.1, ge=0, le=1, description="Share of lists in random order (surface `explore`).")

    click_logit: float = Field(-4.2, ge=-10, le=5, description="Log-odds of a click on an item nobody wants.")
    view_rate: float = Field(0.4, ge=0, le=0.9, description="Views of what is looked at, as a share of the wish.")
    cart_rate: float = Field(0.25, ge=0, le=1, description="Share of clicks that go on to the cart.")
    purchase_rate: float = Field(0.45, ge=0, le=1, description="Share of carts that end in a purchase.")
    logged: tuple[Literal["view", "click", "cart", "purchase"], ...] = Field(
        ("view", "click", "cart", "purchase"), min_length=1, description="Types of events that the log keeps."
    )
    again_share: float = Field(0.25, ge=0, le=1, description="Share of lists that hold the item clicked last.")
    repeat_share: float = Field(0, ge=0, le=1, description="Share of lists in which users look for earlier items.")
    hide_seen: bool = Field(False, description="Whether lists leave out what the user clicked lately.")

    chinese_share: float = Field(0.3, ge=0, le=1, description="Share of items whose text is Chinese.")
    style_in_text: float = Field(0.35, ge=0, le=1, description="Share of items whose text shows their hidden style.")
    new_items: float = Field(0.15, ge=0, le=0.9, description="Share of items that appear while traffic runs.")
    popularity_power: float = Field(0.7, ge=0, le=3, description="Zipf power of how much items appeal.")
    proposer_head: float = Field(3, ge=1, le=10, description="How much the proposer keeps to what appeals; 1: not.")

    dirt: DirtShares = Field(
        default_factory=DirtShares, description="Shares of dirty rows by kind; a number mixes several kinds."
    )

    @field_validator("dirt", mode="before")
    @classmethod
    def _mixed(cls, value: Any) -> Any:
        """One number asks for the usual kinds in equal parts."""
        if isinstance(value, int | float):
            if not 0 <= value <= 0.5:
                raise ValueError(f"must lie between 0 and 0.5, not {value}")
            return dict.fromkeys(MIXTURE, value / len(MIXTURE))
        return value

    @model_validator(mode="after")
    def _least_to_most(self) -> SyntheticSettings:
        if not self.least_impressions <= self.impressions_per_user <= self.most_impressions:
            raise ValueError("impressions_per_user must lie between least_impressions and most_impressions")
        return self

    @model_validator(mode="after")
    def _seen_or_sought(self) -> SyntheticSettings:
        if self.hide_seen and (self.repeat_share or self.again_share):
            raise ValueError("hide_seen goes with repeat_share 0 and again_share 0: what is hidden is not sought")
        return self
