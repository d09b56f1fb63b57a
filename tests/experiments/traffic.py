"""Simulated experiments: users who come back, each with a taste for clicking of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Of one variant after each look, `[looks]`: users, users with a click, and the sums that the error needs."""

    users: Floats
    positive: Floats
    lists: Floats
    total: Floats
    squares: tuple[Floats, Floats, Floats]

    @property
    def mean(self) -> Floats:
        return self.total / self.lists

    @property
    def error(self) -> Floats:
        """With users as the unit."""
        yy, yn, nn = self.squares
        spread = yy - 2 * self.mean * yn + self.mean**2 * nn
        return np.sqrt(np.maximum(spread, 0) * self.users / (self.users - 1)) / self.lists

    @property
    def error_of_lists(self) -> Floats:
        """As if each list were somebody else's."""
        return np.sqrt(self.mean * (1 - self.mean) / self.lists)


@dataclass(frozen=True)
class Traffic:
    """Lists in their order, `[lists]`: user, variant (0 or 1), click (0 or 1)."""

    user: npt.NDArray[np.int64]
    variant: npt.NDArray[np.int64]
    click: npt.NDArray[np.int64]

    def sums(self, variant: int, every: int) -> Sums:
        """What is known of a variant after each `every` lists of both."""
        mine = self.variant[self.user] == variant
        order = np.argsort(self.user, kind="stable")
        starts = np.flatnonzero(np.diff(self.user[order], prepend=-1))
        lengths = np.diff(np.append(starts, len(order)))
        n, y = np.empty(len(order)), np.empty(len(order))
        n[order] = np.arange(len(order)) - np.repeat(starts, lengths)
        running = np.cumsum(self.click[order]) - self.click[order]
        y[order] = running - np.repeat(running[starts], lengths)
        click = self.click

        def after(change: Floats) -> Floats:
            return np.cumsum(np.where(mine, change, 0.0))[every - 1 :: every]

        return Sums(
            after((n == 0).astype(float)),
            after(((y == 0) & (click > 0)).astype(float)),
            after(np.ones(len(n))),
            after(click.astype(float)),
            (
                after((y + click) ** 2 - y**2),
                after((y + click) * (n + 1) - y * n),
                after((n + 1) ** 2 - n**2),
            ),
        )


def traffic(rng: np.random.Generator, lists: int, users: int, means: tuple[float, float]) -> Traffic:
    """Users of very different diligence; their clicks are Beta with mean `means[variant]` and strength 8."""
    visits = rng.gamma(0.5, size=users)
    user = rng.choice(users, lists, p=visits / visits.sum())
    variant = rng.integers(2, size=users)
    mean = np.array(means)[variant]
    taste = rng.beta(8 * mean, 8 * (1 - mean))
    return Traffic(user, variant, (rng.random(lists) < taste[user]).astype(np.int64))
