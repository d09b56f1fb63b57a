"""One question to a chat model behind an OpenAI-compatible endpoint, and what all of them have cost."""

from __future__ import annotations

import json
import os
from typing import Any, Final

import httpx

from liverank.config.endpoint import EndpointConfig

_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same question may be answered."""
_CHARACTERS = 4
"""Of a token, where a server does not count."""


class ChatError(Exception):
    """A question without an answer.

    `kind` is `timeouts`, `refused`, `broken` or `useless`; `pause` what the server asks for, in seconds; `final`
    whether asking again is in vain.
    """

    def __init__(self, kind: str, pause: float | None = None, final: bool = False) -> None:
        super().__init__(kind)
        self.kind, self.pause, self.final = kind, pause, final


class Chat:
    """Asks one model; safe to share between threads but for its sums, which may miss a question asked at once."""

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self.prompt_tokens = self.answer_tokens = 0
        self.cost = 0.0
        key = os.environ.get(config.key_variable, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(timeout=config.timeout_seconds, headers=headers)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        dear = bool(self.config.max_cost) and self.cost >= self.config.max_cost
        return dear or self.prompt_tokens + self.answer_tokens >= self.config.max_tokens

    def ask(self, system: str, user: str) -> str:
        """The text of an answer; tokens are counted whether it is of use or not.

        Raises:
            ChatError: there is none.
        """
        body = {
            "model": self.config.model,
            "temperature": 0,
            "max_tokens": self.config.answer_tokens,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        try:
            response = self._client.post(f"{self.config.url.rstrip('/')}/chat/completions", json=body)
        except httpx.TimeoutException as problem:
            raise ChatError("timeouts") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise ChatError("broken") from problem
        if response.status_code != httpx.codes.OK:
            raise ChatError("refused", _retry_after(response), response.status_code not in _AGAIN)
        try:
            told = response.json()
            text = str(told["choices"][0]["message"]["content"] or "")
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError) as problem:
            raise ChatError("broken") from problem
        self._charge(told.get("usage"), len(system) + len(user), len(text))
        return text

    def _charge(self, usage: Any, asked: int, answered: int) -> None:
        """Counts tokens as the server does, else by the characters of question and answer."""
        usage = usage if isinstance(usage, dict) else {}
        prompt = _count_of(usage.get("prompt_tokens"), asked // _CHARACTERS)
        answer = _count_of(usage.get("completion_tokens"), answered // _CHARACTERS)
        self.prompt_tokens += prompt
        self.answer_tokens += answer
        self.cost += (prompt * self.config.input_price + answer * self.config.output_price) / 1e6


def _count_of(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None
