"""What the values of one list are scaled by, to be kept where the same list is scored again for another history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class Scales:
    """Largest values, means and deviations of one list by name.

    Each is taken from the list when it is first asked for and held from then on. Two lists scored by the same scales
    differ by their items and histories alone, and so may be parts of the list that the scales are of.
    """

    def __init__(self) -> None:
        self._held: dict[str, Any] = {}

    def number(self, name: str, of_the_list: Callable[[], Any]) -> Any:
        """The number of that name; `of_the_list` is asked for it the first time."""
        if name not in self._held:
            self._held[name] = of_the_list()
        return self._held[name]

    def largest(self, name: str, values: npt.NDArray[Any]) -> Any:
        """The largest value of the list, 0 at least, `[1]`."""
        return self.number(f"largest {name}", lambda: np.max(values, axis=-1, keepdims=True, initial=0))
