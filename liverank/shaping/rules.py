"""What a caller or an operator decides about a list, whatever the scores say: closed structs, checked when made."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

import msgspec

CATEGORY: Final = "category"
"""The attribute that every item may have without naming it among its attributes."""
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
"""Whole numbers from 1 that arrays of them can hold."""
MOST_PINS: Final = 2000
MOST_DEPTH: Final = 200
"""Positions that diversity may choose: each is compared with all candidates and, by a DPP, with those above it."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Closed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A struct that refuses fields it does not know."""


class Pin(_Closed, frozen=True, kw_only=True):
    """An item and where it stands; without a position, on the first place that no other pin takes."""

    item_id: Name
    position: Positive | None = None


class Boost(_Closed, frozen=True, kw_only=True):
    """Raises or lowers items: one by its id, or all with a value of an attribute.

    Scores are compared in standard deviations of the request's scores. `add` adds to that; `multiply` multiplies the
    item's weight `exp(score)`, its odds of being chosen in Luce's sense, and so adds the logarithm.
    """

    item_id: Name | None = None
    attribute: Name | None = None
    value: Name | None = None
    add: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | None = None
    multiply: Annotated[float, msgspec.Meta(gt=0, le=1e300)] | None = None

    def __post_init__(self) -> None:
        by_value = self.attribute is not None and self.value is not None
        alone = self.attribute is None and self.value is None
        if not (by_value if self.item_id is None else alone):
            raise ValueError("a boost names either 'item_id', or 'attribute' and 'value'")
        if (self.add is None) == (self.multiply is None):
            raise ValueError("a boost has either 'add' or 'multiply'")

    @property
    def shift(self) -> float:
        """What it adds, in standard deviations."""
        return math.log(self.multiply) if self.multiply is not None else self.add or 0.0


class Cap(_Closed, frozen=True, kw_only=True):
    """At most so many items with the same value of an attribute in the first `within` positions (None: the list)."""

    attribute: Name = CATEGORY
    most: Positive
    within: Positive | None = None


class NewItems(_Closed, frozen=True, kw_only=True):
    """At least this share of the first `within` positions (rounded up; None: of the list) holds new items."""

    least: Share
    within: Positive | None = None


class Diversity(_Closed, frozen=True, kw_only=True):
    """How the first `depth` positions are made less alike.

    `mmr`: maximal marginal relevance (Carbonell and Goldstein, 1998); `dpp`: greedy maximum a posteriori of a
    determinantal point process (Chen et al., 2018). `relevance` is the lambda of the one and the theta of the other:
    1 is the order by score, 0 looks at likeness alone.
    """

    method: Literal["mmr", "dpp"] = "mmr"
    relevance: Share = 0.7
    depth: Annotated[int, msgspec.Meta(ge=1, le=MOST_DEPTH)] = 10


class Rules(_Closed, frozen=True, kw_only=True):
    """All rules of a list."""

    exclude: list[str] = []
    exclude_types: list[str] = []
    """Event types: what the user's history holds with one of them is left out."""
    pin: Annotated[list[Name | Pin], msgspec.Meta(max_length=MOST_PINS)] = []
    boost: Annotated[list[Boost], msgspec.Meta(max_length=100)] = []
    caps: Annotated[list[Cap], msgspec.Meta(max_length=8)] = []
    new: NewItems | None = None
    diversity: Diversity | None = None

    @property
    def pins(self) -> list[Pin]:
        """The pins, those without a position among them."""
        return [Pin(item_id=pin) if isinstance(pin, str) else pin for pin in self.pin]

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return self == Rules()

    @property
    def plain(self) -> bool:
        """Whether they only leave items out or put others first: what needs neither items' attributes nor a search."""
        more = self.exclude_types or self.boost or self.caps or self.new or self.diversity
        named = {pin for pin in self.pin if isinstance(pin, str)}
        positioned = any(isinstance(pin, Pin) for pin in self.pin)
        return not more and not positioned and named.isdisjoint(self.exclude)


class Exploration(_Closed, frozen=True, kw_only=True):
    """Which lists are drawn at random, where and how boldly (`liverank.shaping.exploration`)."""

    share: Share
    """Of all lists."""
    temperature: Annotated[float, msgspec.Meta(ge=1e-3)]
    """In standard deviations of the scores: at 1 an item one deviation better is drawn e times as often."""
    keep: Annotated[int, msgspec.Meta(ge=0)]
    """First positions that always take the best."""
    positions: Positive
    """Explored after them."""
    salt: str


def merged(surface: Rules, request: Rules) -> Rules:
    """The rules of a surface and of a request together: lists add up, pins of the request come first.

    Of `new` and `diversity` the request's own stands in place of the surface's.
    """
    own = {pin.item_id for pin in request.pins}
    return Rules(
        exclude=[*surface.exclude, *request.exclude],
        exclude_types=[*surface.exclude_types, *request.exclude_types],
        pin=[*request.pin, *(pin for pin in surface.pin if (pin if isinstance(pin, str) else pin.item_id) not in own)],
        boost=[*surface.boost, *request.boost],
        caps=[*surface.caps, *request.caps],
        new=request.new or surface.new,
        diversity=request.diversity or surface.diversity,
    )
