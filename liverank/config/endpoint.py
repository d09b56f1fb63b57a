"""A large language model behind an OpenAI-compatible endpoint: KServe's LLM runtime, vLLM or a provider's."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from liverank.config.base import Section


class EndpointConfig(Section):
    """Where the model is, and how much may be asked of it."""

    url: str = Field(
        "", description="Base URL of its API, up to and with `/v1`; requests go to `/chat/completions` under it."
    )
    model: str = Field("", description="The model's name there.")
    key_variable: str = Field(
        "OPENAI_API_KEY", description="Environment variable with the API key; where it is not set none is sent."
    )
    language: Literal["en", "zh"] = Field("en", description="Language of the prompt.")
    history_events: int = Field(20, ge=1, le=200, description="Latest events that the prompt tells.")
    window: int = Field(20, ge=2, le=100, description="Candidates of one prompt; longer lists take several.")
    stride: int = Field(10, ge=1, description="Places that the window moves on from prompt to prompt.")
    answer_tokens: int = Field(256, ge=16, description="Tokens that an answer may have.")
    timeout_seconds: float = Field(30, gt=0, description="Seconds that one answer may take.")
    retries: int = Field(
        3, ge=0, le=20, description="Times a prompt is sent again after a failure or a useless answer."
    )
    retry_seconds: float = Field(
        1.0, ge=0, description="Pause before the first of them, twice as long before each next; Retry-After goes first."
    )
    max_tokens: int = Field(
        1_000_000, ge=0, description="Tokens, prompts and answers together, after which nothing more is asked."
    )
    input_price: float = Field(0.0, ge=0, description="Money for a million tokens of prompts.")
    output_price: float = Field(0.0, ge=0, description="Money for a million tokens of answers.")
    max_cost: float = Field(0.0, ge=0, description="Money after which nothing more is asked; 0: no such limit.")

    @property
    def given(self) -> bool:
        """Whether there is somebody to ask."""
        return bool(self.url and self.model)

    @model_validator(mode="after")
    def _no_secret_in_the_url(self) -> Self:
        # The configuration goes into the bundle's manifest, which anybody who may load the model can read.
        parts = urlsplit(self.url)
        if self.url and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("url must begin with http:// or https:// and a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("url must not hold a user, password or query; the API key goes where key_variable says")
        return self

    @model_validator(mode="after")
    def _windows_overlap(self) -> Self:
        if self.stride >= self.window:
            raise ValueError("stride must be smaller than window, or nothing could move from one window to the next")
        return self
