"""The model server."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from liverank.config.access import RateConfig, TokenConfig
from liverank.config.base import Section
from liverank.config.endpoint import EndpointConfig
from liverank.config.experiment import ExperimentConfig, ShadowConfig
from liverank.config.shaping import SurfaceConfig
from liverank.config.store_place import StorePlace


class SentencesConfig(Section):
    """A sentence for each of the top items of an explained ranking, among the `serving.explain_items` first."""

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
    token_variable: str = Field(
        "LIVERANK_TOKEN", description="Environment variable that holds the bearer token that opens every door."
    )
    tokens: dict[str, TokenConfig] = Field(
        default_factory=dict, description="Name -> a token that opens some doors; the name appears in metrics."
    )
    rate: RateConfig = RateConfig()
    pseudonym_variable: str = Field(
        "",
        description="Environment variable with a secret key: users and sessions are then stored under keyed hashes of "
        "their ids. Empty: under their ids.",
    )
    store: StorePlace = Field(
        "",
        description="The live store: path of a SQLite file, or URL of a Redis (redis://, rediss://, unix://) without "
        "its password. Empty: the URL in the environment variable LIVERANK_STORE_URL, else a file in the workspace.",
    )
    max_candidates: int = Field(2000, ge=1, description="Candidates a request may carry.")
    max_text_characters: int = Field(
        10_000, ge=1, description="Characters that a candidate's text and category, or a query, may have."
    )
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
    history_cache_mib: float = Field(
        64,
        ge=0,
        description="Memory for what a model made of the histories of the users ranked for last, spared where the next "
        "request finds the same events; for each model, forgotten when the model or the catalogue changes. 0: "
        "everything is made anew.",
    )
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
    explain_items: int = Field(
        10,
        ge=1,
        description="Shown items of an explained ranking that tell the user's events behind them, from the top.",
    )
    explain_events: int = Field(
        3,
        ge=1,
        le=100,
        description="Items of the user's history that are left out one after the other to find those events; each "
        "costs about as much as scoring the shown items.",
    )
    sentences: SentencesConfig = SentencesConfig()
    surfaces: dict[str, SurfaceConfig] = Field(
        default_factory=dict,
        description="Surface of a request -> its rules and exploration; `default` is for every surface not named.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How the server logs on stderr: lines for people, or a JSON object a line."
    )
    access_log: bool = Field(
        False,
        description="Whether each answered call is logged: request id, route, status and milliseconds; nothing of what "
        "was asked.",
    )
    traces_endpoint: str = Field(
        "",
        description="URL, path included, that takes traces by OTLP over HTTP, such as "
        "`http://localhost:4318/v1/traces`; empty: no traces.",
    )
    playground: bool = Field(
        False,
        description="Whether `/playground` is there: a page to try rankings and events on, which shows items and ids "
        "of users to whoever may ask the server.",
    )
    experiment: ExperimentConfig | None = Field(None, description="A test of several models; empty: none.")
    shadow: dict[str, ShadowConfig] = Field(
        default_factory=dict, description="Name -> a model that scores lists on the side, after they were answered."
    )
    shadow_queue: int = Field(
        100, ge=1, description="Lists that may wait for the models on the side; what comes beyond is not scored."
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

    @model_validator(mode="after")
    def _interleaved_lists_are_not_drawn(self) -> Self:
        if self.experiment is None or self.experiment.mode != "interleave":
            return self
        for name, surface in self.surfaces.items():
            if surface.explores() is not None:
                raise ValueError(f"surfaces.{name}.exploration: interleaved lists have no propensities; leave one out")
        return self

    @field_validator("traces_endpoint")
    @classmethod
    def _endpoint_is_a_url_without_a_secret(cls, url: str) -> str:
        # The configuration is shown and logged; headers with keys go where OpenTelemetry looks for them.
        parts = urlsplit(url)
        if url and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.path in {"", "/"}):
            raise ValueError("must begin with http:// or https:// and a host, and have a path, mostly /v1/traces")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must not hold a user, password or query; use OTEL_EXPORTER_OTLP_HEADERS")
        return url

    @model_validator(mode="after")
    def _shadows_do_not_serve(self) -> Self:
        serving = {variant.model for variant in self.experiment.variants.values()} if self.experiment else set()
        for name, shadow in self.shadow.items():
            if shadow.model in serving:
                raise ValueError(f"shadow.{name}.model: '{shadow.model}' serves a variant of the experiment already")
        return self
