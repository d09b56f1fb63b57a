"""Coverage and novelty: how much of the catalogue is shown, and how unexpected it is."""

from __future__ import annotations

import numpy as np

from liverank.evaluation.lists import PADDING, Floats, Integers, RankedLists


def coverage(lists: RankedLists, k: int, catalogue_items: int) -> float:
    """Share of the catalogue's items that stand in the first `k` places of at least one list; 0 without a catalogue.

    A property of all lists together: it grows with their number, so compare it on the same requests only.
    """
    top = np.unique(lists.items[:, :k])
    shown = int(np.sum((top != PADDING) & (top < catalogue_items)))
    return shown / catalogue_items if catalogue_items else 0.0


def novelty(lists: RankedLists, k: int, train_events: Integers) -> Floats:
    """Mean self-information of the first `k` places in bits, `[requests]`; NaN for an empty list.

    -log2 p(item), p = (events + 1) / (all events + items), smoothed so that an item without events is novel, not
    infinitely so (Vargas and Castells, 2011, "free discovery").

    Args:
        lists: the lists.
        k: places judged.
        train_events: `[catalogue items]`, events of each item in training; an item past the catalogue has none.
    """
    top = lists.items[:, :k]
    counts = np.append(train_events, 0).astype(np.float64)
    bits = -np.log2((counts + 1.0) / max(counts.sum() + len(train_events), 1.0))
    codes = np.minimum(top, len(train_events))
    listed = top != PADDING
    places = listed.sum(axis=1)
    total = np.sum(np.where(listed, bits[codes], 0.0), axis=1)
    return np.divide(total, places, out=np.full(len(top), np.nan), where=places > 0)
