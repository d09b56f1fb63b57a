"""Ranked lists as rectangles of numbers: what every metric is computed on.

Tie rule: equal scores keep the incoming order, as `liverank.ranking.protocol.ranking` serves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liverank.errors import DataError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

PADDING = -1
"""Item code past the end of a list."""


@dataclass(frozen=True)
class RankedLists:
    """Lists in one ranker's order, best first, padded on the right.

    An item that a list holds twice counts where it stands first; its later places earn nothing.
    """

    gains: Floats
    """`[requests, width]`: gain of the item at each rank; 0 past the end."""
    items: Integers
    """`[requests, width]`: item code at each rank; `PADDING` past the end."""
    ideal: Floats
    """`[requests, truths]`: every gain there was to earn, largest first, 0 past the end."""

    @property
    def lengths(self) -> Integers:
        """`[requests]`: places in each list."""
        return np.sum(self.items != PADDING, axis=1)

    @property
    def relevant(self) -> Integers:
        """`[requests]`: relevant items of each request, inside its list or not."""
        return np.sum(self.ideal > 0, axis=1)

    def hits(self, k: int) -> npt.NDArray[np.bool_]:
        """`[requests, min(k, width)]`: whether each of the first `k` places holds a relevant item."""
        return self.gains[:, :k] > 0


@dataclass(frozen=True)
class Lists:
    """The same requests in their incoming order: built once, then ranked by each ranker's scores."""

    gains: Floats
    items: Integers
    ideal: Floats

    def __len__(self) -> int:
        return len(self.items)

    def ranked(self, scores: Sequence[npt.NDArray[np.floating]]) -> RankedLists:
        """The lists in the order of `scores`, one array `[candidates]` a request.

        Raises:
            DataError: there is not exactly one finite score for each candidate.
        """
        padded = self._padded(scores)
        order = np.argsort(-padded, axis=1, kind="stable")
        items = np.take_along_axis(self.items, order, axis=1)
        gains = np.take_along_axis(self.gains, order, axis=1)
        return RankedLists(np.where(_repeated(items), 0.0, gains), items, self.ideal)

    def _padded(self, scores: Sequence[npt.NDArray[np.floating]]) -> Floats:
        lengths = np.sum(self.items != PADDING, axis=1)
        if [len(row) for row in scores] != lengths.tolist():
            raise DataError("The scores do not match the candidates: every candidate needs exactly one score.")
        padded = np.full(self.items.shape, -np.inf)
        padded[self.items != PADDING] = np.concatenate([*scores, np.empty(0)])
        if not np.isfinite(padded[self.items != PADDING]).all():
            raise DataError("A score is not a finite number.")
        return padded


def build_lists(
    items: Sequence[Sequence[str]],
    labels: Sequence[npt.NDArray[np.floating]],
    outside: Sequence[Sequence[str]],
    codes: Mapping[str, int],
) -> Lists:
    """Puts requests into rectangles.

    Args:
        items: the candidates of each request in incoming order.
        labels: their gains, `[candidates]` each; 0 is not relevant.
        outside: relevant items of each request that its list does not hold; each is worth 1.
        codes: item id -> row in the catalogue; an item it lacks gets a code of its own past the last.

    Raises:
        DataError: a request has another number of labels than of candidates.
    """
    width = max((len(row) for row in items), default=0)
    grid = np.full((len(items), width), PADDING, dtype=np.int64)
    gains = np.zeros((len(items), width))
    known = dict(codes)
    for row, (ids, label) in enumerate(zip(items, labels, strict=True)):
        if len(ids) != len(label):
            raise DataError(f"Request {row} has {len(ids)} candidates but {len(label)} labels.")
        grid[row, : len(ids)] = [known.setdefault(item, len(known)) for item in ids]
        gains[row, : len(ids)] = label
    return Lists(gains, grid, _ideal(items, labels, outside))


def _ideal(
    items: Sequence[Sequence[str]],
    labels: Sequence[npt.NDArray[np.floating]],
    outside: Sequence[Sequence[str]],
) -> Floats:
    best = []
    for ids, label, missed in zip(items, labels, outside, strict=True):
        gain = dict.fromkeys(missed, 1.0)
        for item, value in zip(ids, label, strict=True):
            gain[item] = max(gain.get(item, 0.0), float(value))
        best.append(sorted((value for value in gain.values() if value > 0), reverse=True))
    ideal = np.zeros((len(best), max((len(row) for row in best), default=0)))
    for row, values in enumerate(best):
        ideal[row, : len(values)] = values
    return ideal


def _repeated(items: Integers) -> npt.NDArray[np.bool_]:
    """Whether a place holds an item that stands further up in its list."""
    order = np.argsort(items, axis=1, kind="stable")
    grouped = np.take_along_axis(items, order, axis=1)
    same = np.zeros(items.shape, dtype=bool)
    same[:, 1:] = grouped[:, 1:] == grouped[:, :-1]
    repeated = np.zeros_like(same)
    np.put_along_axis(repeated, order, same, axis=1)
    return repeated
