"""What was made of texts seen lately: texts come again with every request that offers their item."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy.typing as npt

MOST: Final = 10_000
MOST_CHARACTERS: Final = 5_000_000
"""Of all texts together, since callers decide how long they are; ten thousand titles of fifty have a tenth of it."""
T = TypeVar("T")


def apart(rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """The rows, each with memory of its own: as a view, one that is kept would keep all of them."""
    return (row.copy() for row in rows)


class RecentTexts(Generic[T]):
    """By text, for at most `most` texts of `characters` together, those seen last; safe to use from several threads."""

    def __init__(self, most: int = MOST, characters: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._characters = characters
        self._held = 0
        """Characters of the texts that are here."""
        self._made: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, texts: Iterable[str]) -> dict[str, T]:
        """Those that are here; makes nothing."""
        with self._lock:
            return {text: self._made[text] for text in texts if text in self._made}

    def made(self, texts: Sequence[str], make: Callable[[list[str]], Iterable[T]]) -> list[T]:
        """What is made of each text, `[texts]`; `make` gets those that are missing, each once, and must keep order."""
        known = self.known(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known.update(zip(missing, make(missing), strict=True))
        self.add(known)
        return [known[text] for text in texts]

    def add(self, made: Mapping[str, T]) -> None:
        """Takes over what was made elsewhere, as the texts seen last."""
        with self._lock:
            for text, value in made.items():
                if text not in self._made:
                    self._held += len(text)
                self._made[text] = value
                self._made.move_to_end(text)
            while len(self._made) > self._most or self._held > self._characters:
                text, _ = self._made.popitem(last=False)
                self._held -= len(text)

    def share(self, other: RecentTexts[T]) -> None:
        """Takes over what another one has, as seen before its own."""
        with other._lock:
            theirs = other._made.copy()
        with self._lock:
            ours, self._made, self._held = self._made, theirs, sum(map(len, theirs))
        self.add(ours)
