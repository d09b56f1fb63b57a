"""The model server."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section
from liverank.config.endpoint import EndpointConfig
from liverank.config.shaping import SurfaceConfig
from liverank.config.store_place import StorePlace


class SentencesConfig(Section):
    """A sentence for each of the top items of an explained ranking."""

    top: int = Field(0, ge=0, le=50, description="Shown items that get one, from the top; 0: none.")
    language: Literal["en", "zh"] = Field("en", description="Language of the sentences.")
    cache: int = Field(10_000, ge=1, description="Sentences of the chat model that are kept.")
    queue: int = Field(100, ge=1, description="Sentences that may wait to be written.")
    endpoint: EndpointConfig = EndpointConfig()


class ServingConfig(Section):
    """The KServe predictor and its live store."""

    host: str = Field("127.0.0.1", description="Address to listen on; anything but loopback needs a token.")
    http_port: int = Field(8080, ge=0, le=65535, description="REST port.")
    grpc_port: int = Field(8081, ge=0, le=65535, description="gRPC port.")
    token_variable: str = Field("LIVERANK_TOKEN", description="Environment variable that holds the bearer token.")
    store: StorePlace = Field(
        "",
        description="The live store: path of a SQLite file, or URL of a Redis (redis://, rediss://, unix://) without "
        "its password. Empty: the URL in the environment variable LIVERANK_STORE_URL, else a file in the workspace.",
    )
    max_candidates: int = Field(1000, ge=1, description="Candidates a request may carry.")
    max_new_texts: int = Field(
        64,
        ge=0,
        description="Texts of items new to the model that a request may have encoded; others count without theirs.",
    )
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Bytes a request body may have.")
    max_future_seconds: float = Field(
        300, ge=0, description="How far after the server's clock a record or a request may say that it happened."
    )
    history_length: int = Field(200, ge=1, description="Latest events read for a request.")
    queue_requests: int = Field(256, ge=1, description="Requests that may wait before the answer is 503.")
    rerank_ms: float = Field(
        100,
        ge=0,
        description="Milliseconds that the language model may take, where the model has one, for the requests that are "
        "answered together; their deadlines may leave it less. What it has not read then stays in the blend's order. "
        "0: it is not asked.",
    )
    query_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the query in the scores of `/v1/rerank` and its like; the rest is the ranker's, by what "
        "the user did.",
    )
    sentences: SentencesConfig = SentencesConfig()
    surfaces: dict[str, SurfaceConfig] = Field(
        default_factory=dict,
        description="Surface of a request -> its rules and exploration; `default` is for every surface not named.",
    )
    batch_requests: int = Field(16, ge=1, description="Most requests scored together.")
    threads: int = Field(
        1,
        ge=0,
        le=256,
        description="CPU threads of one scoring call (0: the libraries' own choice); more pay for large models.",
    )
    feature_log_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the answers of a model with candidate features (`training.feature_ranker`) whose raw "
        "feature values are recorded, for `liverank data check-skew`; the impression's id decides which.",
    )
    feature_log_items: int = Field(
        10,
        ge=1,
        description="Shown items of such an answer whose values are recorded, from the top; each takes about 0.3 kB.",
    )
    queue_impressions: int = Field(10_000, ge=1, description="Impressions that may wait to be written.")
    drain_seconds: float = Field(20, gt=0, description="Seconds that open requests have to end when the server stops.")
