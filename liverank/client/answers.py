"""What the client takes and gives, typed; fields that a later server adds are ignored."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from liverank.client.pinning import arranged


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A candidate with what the caller knows about it; of a known item the id alone, as a string, is enough."""

    item_id: str
    text: str = ""
    category: str = ""
    attributes: dict[str, str] = {}
    score: float | None = None


class RankedItem(msgspec.Struct, frozen=True):
    """One line of a ranking; `position` counts from 1."""

    item_id: str
    score: float
    position: int
    propensity: float | None = None
    reasons: list[dict[str, Any]] | None = None
    events: list[dict[str, Any]] | None = None
    sentence: str | None = None
    variant: str | None = None
    """Whose line it is, where two variants' rankings are interleaved."""


class Ranking(msgspec.Struct, frozen=True):
    """A ranking; `degraded` is empty when the whole model ranked, and says what was missing otherwise.

    A ranking that the client made because no server answered has no `impression_id` and no `model_version`, and its
    `degraded` begins with `client:`.
    """

    impression_id: str
    model_version: str
    ranking: list[RankedItem]
    degraded: list[str]
    timing_ms: dict[str, float]
    costs: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    """What each rule cost in expected relevance, where reasons were asked for and rules shaped the list."""
    experiment: str | msgspec.UnsetType = msgspec.UNSET
    """The experiment that the user takes part in, while there is one."""
    variant: str | msgspec.UnsetType = msgspec.UNSET
    """The user's variant in it; none where rankings are interleaved."""
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    """Whose the impression is, where the request named no user: for the visitor's events and next requests."""

    @property
    def item_ids(self) -> list[str]:
        """The ranked ids, best first."""
        return [line.item_id for line in self.ranking]


class Reranked(msgspec.Struct, frozen=True):
    """One reranked document; `index` is its place in the request, from 0."""

    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class RerankMeta(msgspec.Struct, frozen=True):
    """What is known of a reranking beside its lines."""

    warnings: list[str] = []
    timing_ms: dict[str, float] = {}
    model_version: str = ""
    user_id: str | msgspec.UnsetType = msgspec.UNSET
    """Whose the impression is, where the request named no user."""


class Reranking(msgspec.Struct, frozen=True):
    """A reranked list; `id` is the impression's, empty for a list that the client made."""

    id: str
    results: list[Reranked]
    meta: RerankMeta

    @property
    def degraded(self) -> list[str]:
        """What was missing."""
        return self.meta.warnings


class Taken(msgspec.Struct, frozen=True):
    """How many records the server took, and how many of them were new to it."""

    accepted: int
    new: int


class Exported(msgspec.Struct, frozen=True):
    """What the server's store holds about a user; each record as docs/contract.md has it."""

    user_id: str
    records: list[dict[str, Any]]


class Erased(msgspec.Struct, frozen=True):
    """The certificate of an erasure: what went, which model versions saw the user, what is left to do by hand.

    `signature` where the server has a key; `liverank erase --verify` checks it.
    """

    user_id: str
    erased: int
    model_versions: dict[str, Any]
    certificate_id: str = ""
    erased_at: str = ""
    store: str = ""
    records: dict[str, int] = {}
    to_do: list[str] = []
    signature: dict[str, str] | None = None


def incoming_order(candidates: Sequence[Any], rules: Mapping[str, Any] | None, k: int | None, why: str) -> Ranking:
    """The candidates as they came, but for what the caller's rules pin and exclude; scores are minus the place."""
    shown = arranged([_item_id(candidate) for candidate in candidates], rules or {})[:k]
    lines = [RankedItem(item, -float(place), place + 1) for place, item in enumerate(shown)]
    return Ranking("", "", lines, [f"client: {why}"], {})


def _item_id(candidate: Any) -> str:
    if isinstance(candidate, str):
        return candidate
    return str(candidate["item_id"] if isinstance(candidate, Mapping) else candidate.item_id)


def given_order(count: int, top_n: int | None, why: str) -> Reranking:
    """Documents in the order that they came in; the score falls from 1 towards 0."""
    lines = [Reranked(index, 1 - index / count) for index in range(count)]
    return Reranking("", lines[:top_n], RerankMeta(warnings=[f"client: {why}"]))


def with_event_ids(records: Iterable[Any]) -> list[Any]:
    """The records, each interaction with an `event_id`, so that sending them again is safe."""
    return [_identified(record) for record in records]


def _identified(record: Any) -> Any:
    is_nameless = isinstance(record, Mapping) and record.get("record", "interaction") == "interaction"
    if is_nameless and not record.get("event_id"):
        return {**record, "event_id": uuid.uuid4().hex}
    return record
