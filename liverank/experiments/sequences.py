"""What may be looked at as often as one likes: confidence sequences and e-values, valid at every moment at once.

An interval of a fixed-sample test holds at one moment that was chosen before; who looks again and again and stops at
the first difference is wrong far more often than its level says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Number = TypeVar("Number", float, npt.NDArray[np.float64])


def mixture_variance(alpha: float, tightest: float) -> float:
    """The rho^2 with which a sequence at level `alpha` is tightest after about `tightest` observations.

    (-2 log alpha + log(-2 log alpha + 1)) / tightest: the closed approximation of Waudby-Smith, Arbour, Sinha, Kennedy
    and Ramdas (2024, Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics).
    """
    log = -2 * math.log(alpha)
    return (log + math.log(log + 1)) / tightest


def radius(error: Number, seen: Number, alpha: float, tightest: float) -> Number:
    """Half the width of the asymptotic confidence sequence for a mean or a difference of means.

    That of Waudby-Smith et al. (2024) by a Gaussian mixture: with standard error s / sqrt(t) after t observations,
    s * sqrt(2 (t rho^2 + 1) / (t^2 rho^2) * log(sqrt(t rho^2 + 1) / alpha)).

    The observations of one user are not independent. Two things make the sequence hold all the same. `error` is taken
    by users (`liverank.experiments.ratio`), so that its variance is right at each moment. And as long as what a user
    does later does not go against what they did before, estimates at two moments are correlated at least as closely as
    those of independent observations, by which the chance of ever crossing a boundary is only smaller (Slepian, 1962).
    The clock `seen` must then grow at least as fast as the information 1 / error^2: the number of lists does, that of
    users does not.

    Args:
        error: standard error of the estimate, users being the unit.
        seen: lists behind it, all variants together.
        alpha: the chance that the sequence ever misses, whenever one looks.
        tightest: the number of lists at which it is narrowest; chosen before the data are seen.
    """
    grown = seen * mixture_variance(alpha, tightest)
    return error * np.sqrt((1 + 1 / grown) * (np.log1p(grown) - 2 * math.log(alpha)))


def p_value(estimate: float, error: float, seen: float, alpha: float, tightest: float) -> float:
    """The level at which `radius` would just reach 0, with the rho of `alpha`; valid at any moment.

    Its smallest value so far is valid too.
    """
    if not error:
        return 1.0
    grown = seen * mixture_variance(alpha, tightest)
    return float(np.exp(np.minimum(0.0, (np.log1p(grown) - (estimate / error) ** 2 * grown / (1 + grown)) / 2)))


def log_evidence(counts: Sequence[float], shares: Sequence[float], concentration: float) -> float:
    """Log of the e-value against draws with these shares: a Dirichlet mixture over their alternatives.

    E = B(a + counts) / B(a) / product of shares^counts with a = concentration * shares. Under the shares it is a
    martingale with mean 1, so that it ever exceeds 1 / alpha with a chance of alpha at most, exactly and at any number
    of draws (Ville; Lindon and Malek, 2022, Anytime-valid inference for multinomial count data, NeurIPS). With two
    shares it is the beta-binomial test.

    Args:
        counts: draws of each kind so far.
        shares: the chance of each kind if nothing is wrong; they sum to 1.
        concentration: of the alternatives around the shares: large for small differences.

    >>> round(log_evidence([1, 0], [0.5, 0.5], 2.0), 6)
    0.0
    """
    found = np.asarray(counts, np.float64)
    expected = np.asarray(shares, np.float64)
    prior = concentration * expected
    mixed = gammaln(prior + found).sum() - gammaln((prior + found).sum())
    return float(mixed - gammaln(prior).sum() + gammaln(prior.sum()) - found @ np.log(expected))
