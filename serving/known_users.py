"""The playground's way to users whom the live store knows by pseudonyms: those that it offered, and nobody else.

The other doors take ids and make pseudonyms of them: there a pseudonym is nobody's id, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from liverank.events import Interaction
from serving import api
from serving.api import Refused
from serving.json_answers import json_answer
from serving.metrics import Metrics
from serving.rank_route import RankRoute
from serving.refusals import Endpoint
from serving.service import RankingService

Route = tuple[str, str, Endpoint]
"""Path, method, endpoint."""

PATH: Final = "/playground"
MOST_OFFERED: Final = 1000
"""Pseudonyms that are remembered, the latest."""


class KnownUsers:
    """Routes that take pseudonyms; for a server with a key."""

    def __init__(self, service: RankingService, metrics: Metrics) -> None:
        self._service = service
        self._metrics = metrics
        self._names = service.names.known()
        self._offered: dict[str, None] = {}

    @property
    def routes(self) -> list[Route]:
        """What to add to the server."""
        return [
            (f"{PATH}/rank", "POST", RankRoute(self._service, self._metrics, self._names, self._check_rank)),
            (f"{PATH}/events", "POST", self.events),
            (f"{PATH}/users/{{user_id:whole}}", "GET", self.export),
        ]

    def offer(self, users: Iterable[str]) -> None:
        """Lets the page ask for these from now on."""
        for user in users:
            self._offered.pop(user, None)
            self._offered[user] = None
        for user in list(self._offered)[:-MOST_OFFERED]:
            del self._offered[user]

    async def events(self, request: Request) -> Response:
        """`POST /playground/events`: as `/v1/events`, for interactions."""
        records = api.records(await request.body())
        for index, record in enumerate(records):
            if not isinstance(record, Interaction):
                raise Refused(400, f"Record {index} is no interaction; send other records to /v1/events.")
            self._check(record.user_id)
        return json_answer(
            {"accepted": len(records), "new": await self._service.records.append(records, self._names)}, 202
        )

    async def export(self, request: Request) -> Response:
        """`GET /playground/users/{pseudonym}`: as `/v1/users/{id}`."""
        user = request.path_params["user_id"]
        self._check(user)
        return json_answer({"user_id": user, "records": await self._service.records.export(user, self._names)})

    def _check_rank(self, asked: api.RankRequest) -> None:
        self._check(asked.user_id)

    def _check(self, user: str | None) -> None:
        if user not in self._offered:
            raise Refused(404, "This is no pseudonym that /playground/setup has offered since the server started.")
