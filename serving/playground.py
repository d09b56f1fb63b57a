"""The playground: a page that ranks, sends events and ranks again, and the little that it needs to know."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from liverank.config import Config
from liverank.config.shaping import ExplorationConfig, SurfaceConfig
from liverank.events import Interaction
from liverank.store import LiveStore
from serving.api import Refused
from serving.json_answers import json_answer
from serving.known_users import PATH, KnownUsers, Route
from serving.metrics import Metrics
from serving.refusals import refused
from serving.service import RankingService
from serving.shaping import DEFAULT

EXPLORING: Final = "playground-exploration"
"""The surface whose lists are all drawn, for the page's switch."""
MOST_ITEMS: Final = 200
MOST_USERS: Final = 20
LATEST_RECORDS: Final = 2000
"""Of the log, in which users are looked for."""


class ShownItem(msgspec.Struct, frozen=True):
    """What the page shows of an item."""

    item_id: str
    title: str
    category: str


class Found(msgspec.Struct, frozen=True):
    """Items for the page, and how many the model knows in all."""

    items: list[ShownItem]
    known: int


class Setup(msgspec.Struct, frozen=True):
    """What the page's controls may offer; `now` is the server's clock in epoch milliseconds."""

    event_types: list[str]
    surfaces: list[str]
    exploring: str
    users: list[str]
    pseudonyms: bool
    """Whether `users` are pseudonyms: the page asks for their lists by `/playground/rank` and its kin."""
    max_candidates: int
    model_version: str
    now: float


class _Wanted(msgspec.Struct, frozen=True):
    query: Annotated[str, msgspec.Meta(max_length=200)] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_ITEMS)] = 50
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    id: Annotated[list[str], msgspec.Meta(max_length=MOST_ITEMS)] = []


def with_exploration(config: Config) -> Config:
    """The configuration with a surface for the page whose lists are all drawn, by the rules of `default`."""
    serving = config.serving
    rules = serving.surfaces.get(DEFAULT, SurfaceConfig())
    exploring = rules.model_copy(update={"exploration": ExplorationConfig(share=1)})
    surfaces = {EXPLORING: exploring, **serving.surfaces}
    return config.model_copy(update={"serving": serving.model_copy(update={"surfaces": surfaces})})


class Playground:
    """The routes behind the page. They tell items and ids of users, and are guarded as every other route is."""

    def __init__(self, service: RankingService, store: LiveStore, config: Config, metrics: Metrics) -> None:
        self._service = service
        self._store = store
        self._config = config
        self._known = KnownUsers(service, metrics)

    @property
    def routes(self) -> list[Route]:
        """What to add to the server."""
        own: list[Route] = [(f"{PATH}/setup", "GET", self.setup), (f"{PATH}/items", "GET", self.items)]
        return [*own, *self._known.routes] if self._service.names else own

    async def setup(self, request: Request) -> Response:
        """`GET /playground/setup`."""
        limits = self._config.serving
        users = await asyncio.to_thread(latest_users, self._store)
        self._known.offer(users)
        return json_answer(
            Setup(
                event_types=list(self._config.data.event_weights),
                surfaces=[name for name in limits.surfaces if name not in (DEFAULT, EXPLORING)],
                exploring=EXPLORING,
                users=users,
                pseudonyms=bool(self._service.names),
                max_candidates=limits.max_candidates,
                model_version=self._service.models.champion.version,
                now=self._service.now().timestamp() * 1000,
            )
        )

    async def items(self, request: Request) -> Response:
        """`GET /playground/items`: by `id` (several), else those that `query` finds, else a sample by `seed`."""
        wanted = _wanted(request.query_params)
        return json_answer(await asyncio.to_thread(found, self._service.models.champion.bundle.catalogue, wanted))


class PlaygroundPage:
    """ASGI middleware that answers `GET /playground` with the page, which holds no data and so needs no token.

    What the page then asks for does: it asks whoever looks at it for the token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with the page, or passes the request on."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            text, headers = page()
            await Response(text, headers=headers, media_type="text/html")(scope, receive, send)
        else:
            answer = refused(405, "Method Not Allowed")
            answer.headers["Allow"] = "GET, HEAD"
            await answer(scope, receive, send)


@cache
def page() -> tuple[str, dict[str, str]]:
    """The page and its headers: nothing but its own script and style may run, and it talks to its own server alone."""
    text = Path(__file__).with_name("playground.html").read_text(encoding="utf-8")
    policy = [
        "default-src 'none'",
        f"script-src {_hash(text, 'script')}",
        f"style-src {_hash(text, 'style')}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return text, {
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def _hash(text: str, tag: str) -> str:
    (block,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"


def latest_users(store: LiveStore) -> list[str]:
    """Users of the latest interactions, the latest first, as far as the log's last records tell."""
    since = max(0, store.cursor() - LATEST_RECORDS)
    seen = [record.user_id for _, record in store.export(since, LATEST_RECORDS) if isinstance(record, Interaction)]
    return list(dict.fromkeys(reversed(seen)))[:MOST_USERS]


def found(catalogue: Any, wanted: _Wanted) -> Found:
    """The items that are wanted, `limit` at most; ids that the model does not know are left out."""
    ids, titles, categories = catalogue.item_ids, catalogue.titles, catalogue.categories
    rows = islice(_rows(catalogue, wanted), wanted.limit)
    return Found([ShownItem(ids[row], titles[row], categories[row]) for row in rows], len(ids))


def _rows(catalogue: Any, wanted: _Wanted) -> Iterator[int]:
    index, ids = catalogue.index, catalogue.item_ids
    if wanted.id:
        return (index[item] for item in dict.fromkeys(wanted.id) if item in index)
    if not wanted.query.strip():
        return iter(Random(wanted.seed).sample(range(len(ids)), min(wanted.limit, len(ids))))
    return _matching(catalogue, wanted.query.casefold().split(), wanted.query.strip())


def _matching(catalogue: Any, words: Sequence[str], whole: str) -> Iterator[int]:
    """The item of that very id, then those whose id, title or category hold every word, in the catalogue's order."""
    exact = catalogue.index.get(whole)
    if exact is not None:
        yield exact
    told = zip(catalogue.item_ids, catalogue.titles, catalogue.categories, strict=True)
    for row, fields in enumerate(told):
        text = "\n".join(fields).casefold()
        if row != exact and all(word in text for word in words):
            yield row


def _wanted(query: QueryParams) -> _Wanted:
    single = {name: value for name, value in query.items() if name != "id"}
    unknown = single.keys() - set(_Wanted.__struct_fields__)
    if unknown:
        raise Refused(400, f"There is no parameter '{min(unknown)}'.")
    try:
        return msgspec.convert({**single, "id": query.getlist("id")}, _Wanted, strict=False)
    except msgspec.ValidationError as problem:
        raise Refused(400, f"{problem}") from problem
