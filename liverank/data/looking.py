"""How users look down a list and what they do with it: position bias of known shape, clicks, and what follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from liverank.data.catalogue import NOTHING, Floats, Ints
from liverank.data.synthetic_settings import SyntheticSettings

SECOND: Final = 1_000_000
VIEW, CLICK, CART, PURCHASE = range(4)
EVENT_TYPES: Final = ("view", "click", "cart", "purchase")


@dataclass
class Answers:
    """What users did with lists: for each event its request (row), item, type and microseconds after the list."""

    row: Ints
    item: Ints
    type: Ints
    delay: Ints
    clicks: tuple[Ints, Ints]
    """Row and item of each click, in the order of the list; whether they are logged or not."""


def examination(position: npt.ArrayLike, power: float, curve: str = "power") -> Floats:
    """The chance that a list's position (1 is the top) is looked at, where no click has ended the look before it.

    `power`: 1 / k**p. `logarithmic`: 1 / log2(1 + k)**p. `geometric`: 1 / (1 + p)**(k - 1).
    """
    place = np.asarray(position, np.float64)
    if curve == "geometric":
        return np.asarray((1 + power) ** -(place - 1))
    return np.asarray((np.log2(1 + place) if curve == "logarithmic" else place) ** -power)


def looked_at(settings: SyntheticSettings, attraction: Floats) -> Floats:
    """`[requests, positions]`: the chance that each position is looked at, given the attraction of those above it.

    With `cascade_stop` s: examination(k) * product over j < k of (1 - s * examination(j) * attraction(j)).
    """
    curve = examination(np.arange(1, attraction.shape[1] + 1), settings.position_power, settings.position_curve)
    goes_on = np.cumprod(1 - settings.cascade_stop * curve * attraction, axis=1)
    return np.asarray(curve * np.hstack([np.ones((len(attraction), 1)), goes_on[:, :-1]]))


def answer(rng: np.random.Generator, shown: Ints, attraction: Floats, settings: SyntheticSettings) -> Answers:
    """Lets users look down their lists: P(click at k) = P(look at k) * attraction(item at k).

    Args:
        rng: every chance.
        shown: `[requests, positions]` items, NOTHING where a list is over.
        attraction: `[requests, positions]` chances of a click on what is looked at.
        settings: of the look and of the funnel.
    """
    n, wide = shown.shape
    curve = examination(np.arange(1, wide + 1), settings.position_power, settings.position_curve)
    looked = (rng.random((n, wide)) < curve) & (shown != NOTHING)
    click = looked & (rng.random((n, wide)) < attraction)
    if settings.cascade_stop:
        over = np.cumsum(click & (rng.random((n, wide)) < settings.cascade_stop), axis=1)
        looked[:, 1:] &= over[:, :-1] == 0
        click &= looked
    view = looked & ~click & (rng.random((n, wide)) < settings.view_rate * (0.05 + attraction))
    cart = click & (rng.random((n, wide)) < settings.cart_rate)
    purchase = cart & (rng.random((n, wide)) < settings.purchase_rate)
    rows, items, types, delays = [], [], [], []
    # Position k is reached some 4 k seconds after the list appears; a cart follows a click, a purchase a cart.
    for kind, (happened, base) in enumerate(((view, 1), (click, 2), (cart, 20), (purchase, 45))):
        row, place = np.nonzero(happened)
        waits = (place * 4 + base) * SECOND + rng.integers(0, SECOND, len(row))
        if EVENT_TYPES[kind] in settings.logged:
            rows.append(row)
            items.append(shown[row, place])
            types.append(np.full(len(row), kind))
            delays.append(waits)
    row, place = np.nonzero(click)
    clicks = (row, shown[row, place])
    return Answers(np.concatenate(rows), np.concatenate(items), np.concatenate(types), np.concatenate(delays), clicks)


def list_seconds(settings: SyntheticSettings) -> int:
    """Seconds within which everything that answers a list has happened."""
    return 4 * settings.shown + 50
