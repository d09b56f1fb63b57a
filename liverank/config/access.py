"""Who may do what at the model server, and how often."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from liverank.config.base import Section

TokenScope = Literal["rank", "events", "admin"]


class RateConfig(Section):
    """A token bucket: requests beyond it get 429."""

    per_second: float = Field(0, ge=0, description="Requests a second that a server answers in the long run; 0: all.")
    burst: int = Field(100, ge=1, description="Requests that may come at once after a pause.")


class TokenConfig(Section):
    """A bearer token that opens some doors."""

    variable: str = Field(min_length=1, description="Environment variable that holds it.")
    scopes: tuple[TokenScope, ...] = Field(
        min_length=1,
        description="`rank`: rankings at every door; `events`: `/v1/events`; `admin`: all else, that is users, items, "
        "and swapping the model.",
    )
    rate: RateConfig | None = Field(None, description="Its own rate limit, in place of `serving.rate`.")
