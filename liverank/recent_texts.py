"""What was made of texts seen lately: texts come again with every request that offers their item."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

MOST: Final = 10_000
T = TypeVar("T")


class RecentTexts(Generic[T]):
    """By text, for at most `most` of them, those seen last; safe to use from several threads."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
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
                self._made[text] = value
                self._made.move_to_end(text)
            while len(self._made) > self._most:
                self._made.popitem(last=False)

    def share(self, other: RecentTexts[T]) -> None:
        """Takes over what another one has, as seen before its own."""
        with other._lock:
            theirs = other._made.copy()
        with self._lock:
            ours, self._made = self._made, theirs
        self.add(ours)
