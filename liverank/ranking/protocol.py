"""What every ranker takes and gives: one user's history, candidates and context in, one score a candidate out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class History:
    """A user's events before a request, oldest first; all three sequences have one entry an event."""

    item_ids: Sequence[str] = ()
    types: Sequence[str] = ()
    timestamps: Sequence[float] = ()
    """Seconds since 1970-01-01 UTC."""
    memo: dict[Any, Any] | None = field(default=None, compare=False, repr=False)
    """What rankers made of these events alone, where they will be read again (`remembered`); None: it is not kept."""

    def __len__(self) -> int:
        return len(self.item_ids)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a request wants ranked; ids are distinct."""

    item_ids: Sequence[str]
    texts: Mapping[str, str] = field(default_factory=dict)
    """Text of candidates that came with one: used for items the model has never met."""
    scores: npt.NDArray[np.float32] | None = None
    """The proposer's own scores, one a candidate, higher first; None: the given order is its ranking."""

    def __len__(self) -> int:
        return len(self.item_ids)


@dataclass(frozen=True, slots=True)
class Context:
    """When and where a request is made."""

    timestamp: float
    """Seconds since 1970-01-01 UTC."""
    surface: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One list to rank for one user."""

    history: History
    candidates: Candidates
    context: Context
    user_id: str = ""


@runtime_checkable
class Ranker(Protocol):
    """Scores candidates; higher is better.

    A ranker returns one finite float32 for each candidate in the order given, whatever the history (empty, with unknown
    items), and gives the same scores for the same input, alone or in a batch
    (up to rounding where a library sums several lists at once).
    """

    name: str

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        ...

    def save(self, folder: Path) -> None:
        """Writes safetensors and JSON into `folder`, which exists and is empty."""
        ...


def remembered(history: History, owner: object, name: str, make: Callable[[], T]) -> T:
    """What `make` makes of a history's events, kept with the history where that keeps anything.

    Args:
        history: read by nobody but `make`, and wholly known by its events.
        owner: whose it is: another one, the same model over a larger catalogue say, makes its own.
        name: which of the owner's.
        make: makes it; what it returns must not be changed.
    """
    memo = history.memo
    if memo is None:
        return make()
    # The owner is kept too, so that no later object can have its identity.
    found = memo.get((name, id(owner)))
    if found is None:
        found = memo[name, id(owner)] = (owner, make())
    return cast(T, found[1])


def score(ranker: Ranker, history: History, candidates: Candidates, context: Context) -> Scores:
    """Scores of one request, `[candidates]`."""
    return ranker.score_batch([Request(history, candidates, context)])[0]


def ranking(scores: Scores) -> npt.NDArray[np.intp]:
    """Candidate positions best first; equal scores keep the incoming order."""
    return np.argsort(-scores, kind="stable")
