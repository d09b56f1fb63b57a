"""Arrays that grow by a few rows without a copy of all: what makes a new item rankable in milliseconds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

SPARE: Final = 8
"""One row in so many is allocated ahead."""
LEAST_SPARE: Final = 64


class Room:
    """A buffer with spare rows, whose leading rows are an array that is read elsewhere.

    What was given out stays as it is: each array sees its own leading rows, and rows behind them are written before
    anybody sees them. One thread at a time grows.
    """

    def __init__(self) -> None:
        """Nothing is held yet: the first growth copies."""
        self._buffer: npt.NDArray[Any] | None = None
        self._used = 0

    def grown(self, array: npt.NDArray[Any], rows: int, apart: bool = False) -> npt.NDArray[Any]:
        """`array` with `rows` more rows of zeros, in place behind it where it is the latest that was given out.

        Args:
            array: `[items, ...]`.
            rows: how many more.
            apart: whether its own rows are to be written too, and so have to be a copy.

        Returns:
            `[items + rows, ...]`; its leading rows are those of `array` in the same memory, or a copy.
        """
        items, buffer = len(array), self._buffer
        last = buffer is not None and array.base is buffer and self._used == items
        if apart or buffer is None or not last or items + rows > len(buffer):
            buffer = np.zeros((items + rows + max(LEAST_SPARE, items // SPARE), *array.shape[1:]), array.dtype)
            buffer[:items] = array
            self._buffer = buffer
        self._used = items + rows
        return buffer[: self._used]
