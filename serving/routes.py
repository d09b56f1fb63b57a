"""liverank's own REST doors: plain Starlette routes on kserve's application, raw bodies, msgspec."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from liverank.events import Item, Record
from serving import api
from serving.access import ADMIN, SCOPES_KEY, lacking
from serving.api import Refused
from serving.json_answers import json_answer
from serving.metrics import Metrics
from serving.rank_route import RankRoute
from serving.refusals import Endpoint, answered_or_refused
from serving.rerank_routes import PATHS, RerankRoute
from serving.service import RankingService


class _WholePath(Convertor[str]):
    """The rest of a path, line breaks included: with Starlette's own, `a%0A` would be `a`, who is somebody else."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class Routes:
    """The endpoints; `add_to` puts them before kserve's own, which have the same repository paths."""

    def __init__(
        self, service: RankingService, metrics: Metrics, name: str, more: Iterable[tuple[str, str, Endpoint]] = ()
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._name = name
        self._more = more
        self.on_swap: Callable[[], object] = lambda: None

    def add_to(self, app: Any) -> dict[tuple[str, str], Endpoint]:
        """Adds every route to a Starlette or FastAPI application; those of one path by method and path."""
        register_url_convertor("whole", _WholePath())
        doors = {}
        rank: Endpoint = RankRoute(self._service, self._metrics)
        rerank: Endpoint = RerankRoute(self._service, self._name, self._metrics)
        for route, method, endpoint in (
            ("/v1/rank", "POST", rank),
            *((path, "POST", rerank) for path in PATHS),
            ("/v1/events", "POST", self.events),
            ("/v1/items", "PUT", self.items),
            ("/v1/users/{user_id:whole}", "GET", self.export),
            ("/v1/users/{user_id:whole}", "DELETE", self.erase),
            ("/v2/repository/models/{name}/load", "POST", self.load),
            ("/v2/repository/models/{name}/unload", "POST", self.unload),
            *self._more,
        ):
            guarded = self._guarded(f"{method} {route.replace(':whole', '')}", endpoint)
            app.add_route(route, guarded, methods=[method])
            if "{" not in route:
                doors[method, route] = guarded
        return doors

    async def events(self, request: Request) -> Response:
        """`POST /v1/events`: 202 once every record is on disk."""
        records = api.records(await request.body())
        _check_items(request, records)
        return json_answer({"accepted": len(records), "new": await self._service.records.append(records)}, 202)

    async def items(self, request: Request) -> Response:
        """`PUT /v1/items`: 200 once they are on disk and rankable."""
        items = api.only_items(api.records(await request.body(), "items", "item"))
        return json_answer({"accepted": len(items), "new": await self._service.records.append(items)})

    async def export(self, request: Request) -> Response:
        """`GET /v1/users/{id}`: what the store holds about a user; nothing for an unknown one."""
        user_id = request.path_params["user_id"]
        return json_answer({"user_id": user_id, "records": await self._service.records.export(user_id)})

    async def erase(self, request: Request) -> Response:
        """`DELETE /v1/users/{id}`."""
        return json_answer(await self._service.records.erase(request.path_params["user_id"]))

    async def load(self, request: Request) -> Response:
        """`POST /v2/repository/models/{name}/load`: swaps to the current champion, 200 once it serves."""
        self._check_name(request)
        model = await self._service.swap()
        self.on_swap()
        return json_answer({"name": self._name, "version": model.version, "state": "READY"})

    async def unload(self, request: Request) -> Response:
        """`POST /v2/repository/models/{name}/unload`: refused, a server without its model helps nobody."""
        self._check_name(request)
        raise Refused(403, "The model is not unloaded while the server runs; stop the server instead.")

    def _check_name(self, request: Request) -> None:
        if request.path_params["name"] != self._name:
            raise Refused(404, f"There is no model '{request.path_params['name']}', this server has '{self._name}'.")

    def _guarded(self, route: str, endpoint: Endpoint) -> Endpoint:
        async def respond(request: Request) -> Response:
            started = time.perf_counter()
            response = await answered_or_refused(route, endpoint, request)
            self._metrics.answered(route, response.status_code, time.perf_counter() - started)
            return response

        return respond


def _check_items(request: Request, records: Sequence[Record]) -> None:
    """Items have a scope of their own, by whichever door they come: they change what everybody is shown."""
    scopes = request.scope.get(SCOPES_KEY)
    if scopes is None or ADMIN in scopes or not any(isinstance(record, Item) for record in records):
        return
    denied = lacking(ADMIN, ", which items need")
    raise Refused(denied.status, denied.message, denied.headers)
