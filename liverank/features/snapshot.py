"""What serving must know to compute a candidate's features: learned tables and the counts of past days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverank.events import Item
from liverank.features.candidate_features import Feature, candidate_features
from liverank.features.scaling import Scaling
from liverank.ranking import arrays

Ints = npt.NDArray[np.int32]
PER_UNIT = 1_000_000
"""Similarities are whole millionths, so that their sums are exact in whatever order they are added."""


@dataclass(frozen=True)
class Settings:
    """What the snapshot was made with; plain values."""

    days: tuple[int, ...]
    history_length: int
    rate_strength: float
    """Times shown that the rate of all items weighs in an item's rate."""
    last_steps: int
    step_decay: float
    counted_until: int
    """UTC days since 1970 from this on are not in the counts: the data end within it, the live log has to give it."""
    view_types: tuple[str, ...]
    click_types: tuple[str, ...]
    purchase_types: tuple[str, ...]
    categories: tuple[str, ...]
    surfaces: tuple[str, ...]
    devices: tuple[str, ...]
    price_attribute: str
    price_edges: tuple[float, ...]
    device_key: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the rows."""
        return candidate_features(self.days, self.surfaces, self.devices)

    def step_weights(self) -> npt.NDArray[np.int64]:
        """decay ** steps back in ten-thousandths, whole for the same reason as the similarities, `[last_steps]`."""
        return np.asarray([round(self.step_decay**back * STEP_UNIT) for back in range(self.last_steps)], np.int64)

    def price_band(self, attributes: Mapping[str, str]) -> int:
        """Band of an item's price from 0, -1 without a price."""
        price = price_of(attributes, self.price_attribute)
        return -1 if price is None else int(np.searchsorted(self.price_edges, price, side="right"))


STEP_UNIT = 10_000


def price_of(attributes: Mapping[str, str], name: str) -> float | None:
    """The attribute as a finite number; None where it is none."""
    try:
        price = float(attributes[name])
    except (KeyError, ValueError):
        return None
    return price if np.isfinite(price) else None


@dataclass(frozen=True)
class Neighbours:
    """The most alike items of each item: rows and values, `[items, n]` and `[items, n, measures]`, -1 where no more."""

    rows: Ints
    values: Ints
    """Millionths."""

    def grown(self, items: int) -> Neighbours:
        """The same with empty lists for appended items."""
        new = items - len(self.rows)
        rows = np.full((new, self.rows.shape[1]), -1, np.int32)
        values = np.zeros((new, *self.values.shape[1:]), np.int32)
        return Neighbours(np.concatenate([self.rows, rows]), np.concatenate([self.values, values]))


@dataclass(frozen=True)
class DailyRows:
    """Counts by item and day, sorted by day: `[rows]`, `[rows]`, `[rows, 4]` in the order of `popularity.COUNTS`.

    The item is -1 for each that the catalogue lacks: those count among all items.
    """

    day: Ints
    item: Ints
    counts: Ints


@dataclass(frozen=True)
class Snapshot:
    """Tables in the rows of the catalogue."""

    settings: Settings
    category: Ints
    """Index into `settings.categories`, -1 for none, `[items]`."""
    price_band: Ints
    """-1 for none, `[items]`."""
    born: npt.NDArray[np.int64]
    """Microseconds since 1970 from which the item could be had, `NEVER` where unknown, `[items]`."""
    affinity: Ints
    """Hour affinities in millionths, `[categories, 24]`."""
    similar: Neighbours
    together: Neighbours
    daily: DailyRows
    scaling: Scaling

    def __len__(self) -> int:
        return len(self.category)

    @cached_property
    def category_index(self) -> dict[str, int]:
        """Category -> its number."""
        return {name: at for at, name in enumerate(self.settings.categories)}

    def with_items(self, items: Sequence[Item], index: Mapping[str, int]) -> Snapshot:
        """The snapshot over a grown catalogue; new items get their category, price and time, but no neighbours."""
        new = len(index) - len(self)
        category, band = (np.append(old, np.full(new, -1, np.int32)) for old in (self.category, self.price_band))
        born = np.append(self.born, np.full(new, NEVER, np.int64))
        for item in items:
            row = index[item.item_id]
            category[row] = self.category_index.get(item.category, -1)
            band[row] = self.settings.price_band(item.attributes)
            if item.available_from is not None:
                born[row] = micros(item.available_from.timestamp())
        size = len(index)
        near = {name: getattr(self, name).grown(size) if new else getattr(self, name) for name in _NEIGHBOURS}
        return replace(self, category=category, price_band=band, born=born, **near)

    def save(self, folder: Path, more: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        """Writes `arrays.safetensors` and `settings.json`; `more` joins the arrays."""
        data = {name: getattr(self, name) for name in ("category", "price_band", "born", "affinity")}
        for name in _NEIGHBOURS:
            data |= {f"{name}_rows": getattr(self, name).rows, f"{name}_values": getattr(self, name).values}
        data |= {f"daily_{name}": getattr(self.daily, name) for name in ("day", "item", "counts")}
        arrays.write(folder, {**data, **self.scaling.arrays(), **(more or {})}, asdict(self.settings))

    @classmethod
    def load(cls, folder: Path) -> Snapshot:
        """What `save` wrote.

        Raises:
            BundleError: a file is missing or cannot be read.
        """
        data, settings = arrays.read(folder)
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
        }
        return cls(
            settings=Settings(**plain),
            category=data["category"],
            price_band=data["price_band"],
            born=data["born"],
            affinity=data["affinity"],
            similar=Neighbours(data["similar_rows"], data["similar_values"]),
            together=Neighbours(data["together_rows"], data["together_values"]),
            daily=DailyRows(data["daily_day"], data["daily_item"], data["daily_counts"]),
            scaling=Scaling.of_arrays(data),
        )


_NEIGHBOURS = ("similar", "together")
NEVER = np.iinfo(np.int64).max


def micros(seconds: float) -> int:
    """Seconds as whole microseconds."""
    return round(seconds * 1e6)


def price_edges(prices: Sequence[float], bands: int) -> tuple[float, ...]:
    """The prices between the bands, each with equally many items; none where no item has a price."""
    if not prices:
        return ()
    inner = np.linspace(0, 1, bands + 1)[1:-1]
    return tuple(float(edge) for edge in np.unique(np.quantile(np.asarray(prices), inner)))
