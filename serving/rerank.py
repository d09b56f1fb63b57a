"""The rerank protocol that Cohere's and Jina's clients speak: their request read, their answer written.

`documents` become candidates, each distinct document one of them; what the ranker and the query make of them is
`serving.query`'s and the service's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from serving import api
from serving.api import Candidate, RankRequest, RankResponse, Refused
from serving.visitors import visitor

UNNAMED = "text-"
"""Begins the item id of a document without one; the rest is the hash of its text, the same in each request."""
USER_HEADER = "x-user-id"
DOCUMENT = {
    "description": "Text, id or both; other fields count where `rank_fields` names them.",
    "properties": {
        "text": {"type": ["string", "null"]},
        "id": {"type": ["string", "null"], "minLength": 1, "maxLength": 256},
    },
}

DocumentFields = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema=DOCUMENT)]
UserId = Annotated[str, msgspec.Meta(max_length=256)]


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /rerank`, `/v1/rerank` and `/v2/rerank`; a field that is not one of these is warned of."""

    documents: Annotated[list[str | DocumentFields], msgspec.Meta(min_length=1)]
    query: str = ""
    top_n: Annotated[int, msgspec.Meta(ge=1)] | None = None
    model: str | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    user: UserId | None = None
    user_id: UserId | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    surface: Annotated[str, msgspec.Meta(max_length=256)] = ""
    deadline_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None


class RerankResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a reranked list; `index` is the document's place in the request, from 0."""

    index: int
    relevance_score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    document: dict[str, str] | None = None


class RerankMeta(msgspec.Struct, frozen=True):
    """What the protocol leaves room for; `warnings` are the ranking's `degraded` and the fields that had no effect.

    `user_id` only where the request named none: whose the impression is.
    """

    api_version: dict[str, str]
    billed_units: dict[str, int]
    model_version: str
    warnings: list[str]
    timing_ms: dict[str, float]
    user_id: str | msgspec.UnsetType = msgspec.UNSET


class RerankResponse(msgspec.Struct, frozen=True):
    """The answer; `id` is the impression's."""

    id: str
    model: str
    results: list[RerankResult]
    usage: dict[str, int]
    meta: RerankMeta


@dataclass(frozen=True, slots=True)
class Reranking:
    """A rerank request, read: `items` has the item id of each document, in the order of the documents."""

    request: RerankRequest
    user_id: str
    named: bool
    """Whether the request names the user."""
    items: Sequence[str]
    texts: Mapping[str, str]
    ignored: Sequence[str]

    @property
    def distinct(self) -> list[str]:
        """The candidates: each item id once."""
        return list(dict.fromkeys(self.items))

    def check_lengths(self, longest: int) -> None:
        """Refuses a query or a document of more characters than that.

        Raises:
            Refused: 400; the message names the document.
        """
        api.check_length("query", len(self.request.query), longest)
        for index, item in enumerate(self.items):
            api.check_length(f"documents[{index}]", len(self.texts.get(item, "")), longest)

    def rank_request(self, scores: Mapping[str, float] | None, deadline_ms: float | None) -> RankRequest:
        """The same as a rank request; `scores`, by item id, stand where a proposer's would."""
        return RankRequest(
            user_id=self.user_id,
            candidates=[
                Candidate(item_id=item, text=self.texts.get(item, ""), score=None if scores is None else scores[item])
                for item in self.distinct
            ],
            session_id=self.request.session_id,
            surface=self.request.surface,
            deadline_ms=deadline_ms,
            k=self.request.top_n,
        )


_REQUEST = msgspec.json.Decoder(RerankRequest)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = frozenset(RerankRequest.__struct_fields__)


def reranking(body: bytes, headers: Mapping[str, str], met: Mapping[str, int]) -> Reranking:
    """Reads a rerank request; `met` holds the ids of the items that the model knows.

    Raises:
        Refused: 400, with the field that is wrong.
    """
    try:
        request = _REQUEST.decode(body)
        ignored = sorted(field for field, value in _FIELDS.decode(body).items() if _is_unknown(field, value))
    except msgspec.ValidationError as problem:
        raise Refused(400, f"{problem}") from problem
    except api.UNREADABLE as problem:
        raise Refused(400, f"The body is no valid JSON: {problem}") from problem
    items, texts = _documents(request, met)
    named = _user(request, headers)
    return Reranking(request, named or visitor(request.session_id), bool(named), items, texts, ignored)


def _is_unknown(field: str, value: msgspec.Raw) -> bool:
    return field not in _KNOWN and bytes(value) != b"null"


def _user(request: RerankRequest, headers: Mapping[str, str]) -> str:
    if request.user and request.user_id and request.user != request.user_id:
        raise Refused(400, f"'user' is '{request.user}' and 'user_id' is '{request.user_id}'; give one.")
    header = _utf8(headers.get(USER_HEADER, ""))
    if len(header) > 256:
        raise Refused(400, f"The header {USER_HEADER} may have 256 characters, not {len(header)}.")
    return request.user or request.user_id or header


def _utf8(header: str) -> str:
    """A header as most clients mean it; they arrive read as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


def _documents(request: RerankRequest, met: Mapping[str, int]) -> tuple[list[str], dict[str, str]]:
    """The item id of each document, and the texts by item id."""
    items: list[str] = []
    texts: dict[str, str] = {}
    for index, document in enumerate(request.documents):
        item, text = _document(document, index, request.rank_fields, met)
        if texts.setdefault(item, text) != text:
            raise Refused(400, f"documents[{index}]: id '{item}' is there twice, with different texts.")
        items.append(item)
    return items, texts


def _document(
    document: str | dict[str, Any], index: int, rank_fields: Sequence[str] | None, met: Mapping[str, int]
) -> tuple[str, str]:
    if isinstance(document, str):
        return (document, "") if document in met else (_unnamed(document), document)
    named = document.get("id")
    if named is not None and not (isinstance(named, str) and 0 < len(named) <= 256):
        raise Refused(400, f"documents[{index}]: 'id' must be a string of 1 to 256 characters.")
    parts = [document[field] for field in rank_fields or ("text",) if document.get(field) is not None]
    if not all(isinstance(part, str) for part in parts):
        raise Refused(
            400, f"documents[{index}]: what is ranked must be strings ({', '.join(rank_fields or ['text'])})."
        )
    text = " ".join(parts)
    if named is None and not parts:
        raise Refused(400, f"documents[{index}] has neither a text nor an id.")
    return named or _unnamed(text), text


def _unnamed(text: str) -> str:
    return UNNAMED + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def answered(
    asked: Reranking, ranked: RankResponse, name: str, version: str, timing: dict[str, float]
) -> RerankResponse:
    """The ranking as the protocol wants it: a line for each document, equal ones side by side, `top_n` in all.

    The scores of the shown lines are dealt by place, the highest to the first: clients sort by them, and where rules or
    interleaving decide the order, an item's own score may be higher than that of a line above it.

    Args:
        asked: the request.
        ranked: its candidates, all of them, best first.
        name: the model's.
        version: of the protocol, "1" or "2".
        timing: milliseconds by part.
    """
    places: dict[str, list[int]] = {}
    for index, item in enumerate(asked.items):
        places.setdefault(item, []).append(index)
    scores = sorted((line.score for line in ranked.ranking), reverse=True)
    lines = [
        RerankResult(index, relevance(score), _echo(asked.request.documents[index], asked.request))
        for line, score in zip(ranked.ranking, scores, strict=True)
        for index in places[line.item_id]
    ]
    warnings = [*ranked.degraded, *(f"'{field}' has no effect" for field in asked.ignored)]
    user = msgspec.UNSET if asked.named else asked.user_id
    meta = RerankMeta({"version": version}, {"search_units": 1}, ranked.model_version, warnings, timing, user)
    return RerankResponse(ranked.impression_id, name, lines[: asked.request.top_n], {"total_tokens": 0}, meta)


def relevance(score: float) -> float:
    """A score of the list, in deviations from its mean, as a number between 0 and 1 (the logistic function)."""
    return round(1 / (1 + math.exp(-score)), 6)


def _echo(document: str | dict[str, Any], request: RerankRequest) -> dict[str, str] | None:
    if not request.return_documents:
        return None
    if isinstance(document, str):
        return {"text": document}
    return {"text": "", **{name: value for name, value in document.items() if isinstance(value, str)}}
