"""A typed client of the model server. It needs httpx and msgspec, and loads neither torch nor kserve.

with Client("http://localhost:8080") as client:
    client.events([{"user_id": "anna", "item_id": "sku-9", "type": "click", "timestamp": "2026-03-02T10:00:00Z"}])
    ranking = client.rank("anna", ["sku-3", "sku-1"], deadline_ms=50)
    show(ranking.item_ids, ranking.degraded)
"""

from liverank.client.answers import (
    Candidate,
    Erased,
    Exported,
    RankedItem,
    Ranking,
    Reranked,
    Reranking,
    RerankMeta,
    Taken,
)
from liverank.client.asynchronous import AsyncClient
from liverank.client.blocking import Client
from liverank.client.circuit import CircuitBreaker
from liverank.client.errors import (
    AnswerError,
    CircuitOpenError,
    ClientError,
    DeadlineError,
    RefusedError,
    UnavailableError,
)
from liverank.client.retrying import Backoff

__all__ = [
    "AnswerError",
    "AsyncClient",
    "Backoff",
    "Candidate",
    "CircuitBreaker",
    "CircuitOpenError",
    "Client",
    "ClientError",
    "DeadlineError",
    "Erased",
    "Exported",
    "RankedItem",
    "Ranking",
    "RefusedError",
    "RerankMeta",
    "Reranked",
    "Reranking",
    "Taken",
    "UnavailableError",
]
