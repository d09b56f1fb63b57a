"""Rules and exploration by surface, as an operator sets them; the names are those of a request's rules."""

from __future__ import annotations

from typing import Literal, Self

import msgspec
from pydantic import Field, model_validator

from liverank.config.base import Section
from liverank.shaping.rules import CATEGORY, MOST_DEPTH, MOST_PINS, Exploration, Rules


class PinConfig(Section):
    """An item and where it stands."""

    item_id: str = Field(description="The item; a pin of what is no candidate has no effect.")
    position: int | None = Field(None, ge=1, description="Its position, 1 on top; empty: the first that is left.")


class BoostConfig(Section):
    """Raises or lowers items: one by its id, or all with a value of an attribute."""

    item_id: str | None = Field(None, description="The item; or `attribute` and `value`.")
    attribute: str | None = Field(None, description="`category`, or one of the items' attributes.")
    value: str | None = Field(None, description="The value that the attribute has.")
    add: float | None = Field(
        None,
        ge=-1e6,
        le=1e6,
        description="Added to the score, in standard deviations of the request's scores; or `multiply`.",
    )
    multiply: float | None = Field(
        None, gt=0, le=1e300, description="Factor of the weight exp(score), the score in standard deviations."
    )


class CapConfig(Section):
    """At most so many items with the same value of an attribute."""

    attribute: str = Field(CATEGORY, description="`category`, or one of the items' attributes.")
    most: int = Field(ge=1, description="Items with the same value; those without a value are not counted.")
    within: int | None = Field(None, ge=1, description="First positions in which it holds; empty: the whole list.")


class NewItemsConfig(Section):
    """A share of new items: those with a text and without a training event."""

    least: float = Field(ge=0, le=1, description="Share of the positions, rounded up.")
    within: int | None = Field(None, ge=1, description="First positions in which it holds; empty: the whole list.")


class DiversityConfig(Section):
    """Lists of items that are less alike, by the embeddings of their texts."""

    method: Literal["mmr", "dpp"] = Field(
        "mmr", description="Maximal marginal relevance, or greedy MAP of a determinantal point process."
    )
    relevance: float = Field(
        0.7, ge=0, le=1, description="Weight of the score: MMR's lambda, the DPP's theta; 1: no diversity."
    )
    depth: int = Field(
        10, ge=1, le=MOST_DEPTH, description=f"First positions that are chosen so, at most {MOST_DEPTH}."
    )


class ExplorationConfig(Section):
    """A Plackett-Luce draw of the list, whose propensities the impression records."""

    share: float = Field(0.0, ge=0, le=1, description="Share of the lists that are drawn; 0: none.")
    temperature: float = Field(
        0.5,
        ge=1e-3,
        description="In standard deviations of the request's scores: an item that much better is drawn e times as "
        "often.",
    )
    keep: int = Field(0, ge=0, description="First positions that take the best all the same.")
    positions: int = Field(10, ge=1, description="Positions after them that are drawn.")
    salt: str = Field("", description="Decides with the impression's id what is drawn; another one draws otherwise.")


class SurfaceConfig(Section):
    """Rules and exploration of a surface."""

    exclude: tuple[str, ...] = Field((), description="Items that are never shown.")
    exclude_types: tuple[str, ...] = Field(
        (),
        description="Event types, e.g. `purchase`: items that the user's latest `serving.history_length` events hold "
        "with one of them are not shown.",
    )
    pin: tuple[str | PinConfig, ...] = Field(
        (), max_length=MOST_PINS, description=f"Items put first in this order, or on a position; at most {MOST_PINS}."
    )
    boost: tuple[BoostConfig, ...] = Field((), max_length=100, description="Items raised or lowered.")
    caps: tuple[CapConfig, ...] = Field((), max_length=8, description="Caps, the more important first.")
    new: NewItemsConfig | None = Field(None, description="Minimum of new items.")
    diversity: DiversityConfig | None = Field(None, description="How the first positions are made less alike.")
    exploration: ExplorationConfig = ExplorationConfig()

    @model_validator(mode="after")
    def _has_meaning(self) -> Self:
        pins = [pin.item_id for pin in self.rules().pins]
        if len(set(pins)) != len(pins):
            raise ValueError("an item is pinned twice")
        return self

    def rules(self) -> Rules:
        """The rules as shaping takes them.

        Raises:
            ValueError: a boost names nothing, or too much.
        """
        return msgspec.convert(self.model_dump(exclude={"exploration"}), Rules)

    def explores(self) -> Exploration | None:
        """The exploration as shaping takes it; None where no list is drawn."""
        return msgspec.convert(self.exploration.model_dump(), Exploration) if self.exploration.share else None
