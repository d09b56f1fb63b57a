"""The clients that speak the rerank protocol, unchanged, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server, click

TEXTS = ["a red chair", "a copper kettle", "a blue table"]
KEY = "secret"


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        # litellm fetches a table of prices when it is imported, and langchain may send traces.
        environment.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        environment.setenv("LANGSMITH_TRACING", "false")
        yield


@pytest.fixture(scope="module")
def server(servers: Callable[..., Server]) -> Server:
    server = servers(environment={"LIVERANK_TOKEN": KEY}).start()
    with server.client(headers={"authorization": f"Bearer {KEY}"}) as client:
        client.put("/v1/items", json=[{"item_id": item} for item in "abc"])
        client.post("/v1/events", json=[click(1, "anna", "c"), click(2, "anna", "b"), click(3, "anna", "c")])
    return server


def answered(server: Server, path: str) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    line = f'liverank_requests_total{{route="POST {path}",status="200"}} '
    return next((float(each.removeprefix(line)) for each in text.splitlines() if each.startswith(line)), 0.0)


@pytest.mark.parametrize(("kind", "path"), [("Client", "/v1/rerank"), ("ClientV2", "/v2/rerank")])
def test_cohere(server: Server, kind: str, path: str) -> None:
    cohere = pytest.importorskip("cohere")
    client = getattr(cohere, kind)(KEY, base_url=server.url)
    before = answered(server, path)
    answer = client.rerank(model="liverank", query="copper kettle", documents=TEXTS, top_n=2)
    assert [line.index for line in answer.results] == [1, 0]
    assert answer.results[0].relevance_score > answer.results[1].relevance_score
    assert answer.id
    assert answered(server, path) == before + 1
    named = {"additional_body_parameters": {"user": "anna"}}
    for options in (named, {"additional_headers": {"x-user-id": "anna"}}):
        ours = client.rerank(model="liverank", query="", documents=["a", "b", "c"], request_options=options)
        assert [line.index for line in ours.results] == [2, 1, 0]


def test_cohere_with_ids_and_documents_returned(server: Server) -> None:
    cohere = pytest.importorskip("cohere")
    client = cohere.Client(KEY, base_url=server.url)
    documents = [{"id": "a", "text": "a red chair"}, {"id": "c", "text": "a blue table"}]
    named = {"additional_body_parameters": {"user": "anna"}}
    answer = client.rerank(model="m", query="", documents=documents, return_documents=True, request_options=named)
    assert [line.document.text for line in answer.results] == ["a blue table", "a red chair"]


def test_a_wrong_key_is_the_clients_own_error(server: Server) -> None:
    cohere = pytest.importorskip("cohere")
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2("wrong", base_url=server.url).rerank(model="m", query="x", documents=TEXTS)


def test_langchain(server: Server) -> None:
    chain = pytest.importorskip("langchain_cohere")
    documents = pytest.importorskip("langchain_core.documents")
    ranker = chain.CohereRerank(base_url=server.url, cohere_api_key=KEY, model="liverank", top_n=2)
    found = ranker.compress_documents([documents.Document(page_content=text) for text in TEXTS], "blue table")
    assert [document.page_content for document in found] == ["a blue table", "a red chair"]
    assert 0 <= found[1].metadata["relevance_score"] < found[0].metadata["relevance_score"] <= 1


@pytest.mark.parametrize(
    ("provider", "path"), [("hosted_vllm", "/rerank"), ("jina_ai", "/v1/rerank"), ("cohere", "/v2/rerank")]
)
def test_litellm(server: Server, provider: str, path: str) -> None:
    litellm = pytest.importorskip("litellm")
    base = f"{server.url}{path}" if provider != "hosted_vllm" else server.url
    call: dict[str, Any] = {"model": f"{provider}/liverank", "api_base": base, "api_key": KEY}
    before = answered(server, path)
    answer = litellm.rerank(query="copper kettle", documents=TEXTS, top_n=2, return_documents=True, **call)
    assert [line["index"] for line in answer.results] == [1, 0]
    assert answer.results[0]["relevance_score"] > answer.results[1]["relevance_score"]
    assert answered(server, path) == before + 1
    named = {"headers": {"x-user-id": "anna"}}
    ours = litellm.rerank(query="", documents=["a", "b", "c"], **named, **call)
    # To Jina it sends no header of the caller's.
    assert [line["index"] for line in ours.results] == ([0, 1, 2] if provider == "jina_ai" else [2, 1, 0])
