"""When a gain is more than chance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

SURE: Final = 2.0
"""Standard errors by which a mean gain must be above 0 to count as one."""


def surely_positive(gains: npt.NDArray[np.floating[Any]]) -> bool:
    """Whether the mean of paired differences is above 0 by `SURE` standard errors."""
    if len(gains) < 2:
        return False
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5
    return float(gains.mean()) > SURE * error
