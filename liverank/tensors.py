"""Tensors of the open inference protocol as JSON has them: lists, or lists in lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def flat(values: Iterable[Any]) -> Iterator[Any]:
    """The values of a tensor in row-major order, whatever they are, however deep its lists are.

    >>> list(flat([["a", "b"], ["c"]]))
    ['a', 'b', 'c']
    """
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        else:
            yield value
