"""Differentially private fine-tuning: what each user's list can do to the weights is bounded and drowned in noise.

DP-SGD (Abadi et al., 2016, "Deep Learning with Differential Privacy") with one list a user, drawn by chance of the
user's own, so that what is protected is a user. Each step takes a list with a chance of its own (Poisson sampling),
clips each list's gradient, and adds noise to their sum. Opacus reckons the noise from the epsilon that is wanted, and
what the steps that were made came to.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from liverank.config.lm import PrivacyConfig
from liverank.errors import ConfigError
from liverank.ranking.lm.training_lists import TrainingList


@dataclass(frozen=True)
class PrivacyPlan:
    """How much noise the steps of a training get."""

    noise: float
    """Deviation of the noise, in units of `clip`."""
    clip: float
    """Largest norm of a list's gradient."""
    delta: float
    share: float
    """Chance of a list to be in a step."""

    @classmethod
    def of(cls, config: PrivacyConfig, lists: int, batch: int, steps: int) -> PrivacyPlan:
        """The plan for so many lists, lists in a step on average, and steps at most.

        Raises:
            ConfigError: Opacus is not installed, or so small an epsilon cannot be had.
        """
        try:
            from opacus.accountants.utils import get_noise_multiplier
        except ImportError as problem:
            raise ConfigError(
                "training.lm.privacy wants Opacus, which is not installed.", "Run: pip install 'liverank[privacy]'"
            ) from problem
        share = min(1.0, batch / lists)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of orders that might tighten the bound a little
                noise = get_noise_multiplier(
                    target_epsilon=config.epsilon,
                    target_delta=config.delta,
                    sample_rate=share,
                    steps=steps,
                    accountant="rdp",
                )
        except ValueError as problem:
            raise ConfigError(
                f"No noise gives training.lm.privacy.epsilon {config.epsilon:g} over {steps:,} steps.",
                "Set it higher, or training.lm.steps lower.",
            ) from problem
        return cls(float(noise), config.clip, config.delta, share)

    def epsilon(self, steps: int) -> float:
        """What so many steps came to; 0 for none."""
        if not steps:
            return 0.0
        from opacus.accountants import RDPAccountant

        accountant = RDPAccountant()
        accountant.history = [(self.noise, self.share, steps)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(accountant.get_epsilon(self.delta))

    def drawn(self, lists: Sequence[TrainingList], seed: int) -> list[TrainingList]:
        """The lists of one step: each with the same chance, whatever the others; there may be none."""
        chance = np.random.default_rng(seed).random(len(lists))
        return [lists[at] for at in np.flatnonzero(chance < self.share).tolist()]

    def add(self, parameters: Sequence[nn.Parameter], total: list[Tensor]) -> None:
        """Clips the gradient that the parameters hold and adds it to `total`; the parameters' is gone then."""
        gradients = [one.grad if one.grad is not None else torch.zeros_like(one) for one in parameters]
        norm = torch.linalg.vector_norm(torch.stack([one.norm() for one in gradients]))
        factor = (self.clip / norm.clamp(min=1e-12)).clamp(max=1.0)
        for held, gradient in zip(total, gradients, strict=True):
            held.add_(gradient * factor)
        for one in parameters:
            one.grad = None

    def noised(self, total: Sequence[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
        """The sum with noise."""
        for one in total:
            noise = torch.randn(one.shape, generator=generator, dtype=torch.float32).to(one)
            yield one + self.noise * self.clip * noise


def membership_auc(members: Sequence[float], others: Sequence[float]) -> float:
    """How well losses tell lists that were trained on from others (Yeom et al., 2018): 0.5 not at all, 1 perfectly.

    The chance that a member's loss is below another's, ties half.
    """
    from scipy.stats import rankdata

    if not len(members) or not len(others):
        return 0.5
    ranks = rankdata(np.concatenate([members, others]))[: len(members)]
    above = float(ranks.sum()) - len(members) * (len(members) + 1) / 2
    return 1 - above / (len(members) * len(others))
