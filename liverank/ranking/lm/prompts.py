"""Requests as token ids: the history within its budget, and each candidate's text, tokenised once and remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from liverank.ranking.catalogue import Catalogue
from liverank.ranking.data import EncodedRequest
from liverank.ranking.lm.model import TokenIds
from liverank.ranking.lm.template import HistoryTemplate, TitledEvent

_CHARACTERS: Final = 32
"""Of a token, more than any has in practice."""
_REMEMBERED: Final = 200_000
"""Texts whose tokens are kept; beyond that all are forgotten and asked again."""


@dataclass(frozen=True, slots=True)
class PromptSizes:
    """What of a request is read, in events and tokens."""

    history_events: int
    """Latest events at most."""
    history_tokens: int
    """Of the history, special tokens among them."""
    candidate_tokens: int
    """Of each candidate and of each title in the history."""


class Prompts:
    """Makes token ids of histories and candidates for one tokenizer.

    Encoders get both between their own special tokens ([CLS] ... [SEP]). Decoders read the candidate's score off an
    end-of-text token behind it.
    """

    def __init__(self, tokenizer: Any, template: HistoryTemplate, sizes: PromptSizes) -> None:
        self.template, self.sizes = template, sizes
        self._tokenizer = tokenizer
        self._known: dict[str, TokenIds] = {}
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._first = [one for one in (tokenizer.bos_token_id if first is None else first,) if one is not None]
        self._last = [one for one in (tokenizer.eos_token_id if last is None else last,) if one is not None]
        self._is_encoder = first is not None
        self.padding = int(tokenizer.pad_token_id or 0)

    def history(self, catalogue: Catalogue, request: EncodedRequest) -> TokenIds:
        """Token ids of a history, `[tokens]`: as many of the newest events as the budget holds.

        Without the request's context: events carry none, so that training could not tell what it means.
        """
        left = self.sizes.history_tokens - len(self._first) - len(self._last)
        parts: list[TokenIds] = []
        for before, title in self.template.pieces(told_events(catalogue, request, self.sizes.history_events)):
            both = np.concatenate([self._tokens(before), self._tokens(title)[: self.sizes.candidate_tokens]])
            if len(both) > left:
                break
            parts.append(both)
            left -= len(both)
        return np.concatenate([self._first, *parts, self._last]).astype(np.int64)

    def text(self, told: str) -> TokenIds:
        """Token ids of a history that was told, cut at its budget, `[tokens]`."""
        room = self.sizes.history_tokens - len(self._first) - len(self._last)
        return np.concatenate([self._first, self._tokens(told)[:room], self._last]).astype(np.int64)

    def candidate(self, text: str) -> TokenIds:
        """Token ids of a candidate's text, `[tokens]`."""
        first = self._first if self._is_encoder else []
        return np.concatenate([first, self._tokens(text)[: self.sizes.candidate_tokens], self._last]).astype(np.int64)

    def _tokens(self, text: str) -> TokenIds:
        text = text[: _CHARACTERS * self._most]  # what lies beyond would be cut off, and not be worth keeping
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            ids = self._tokenizer(text, add_special_tokens=False, truncation=True, max_length=self._most)["input_ids"]
            known = self._known[text] = np.asarray(ids, np.int64)
        return known

    @property
    def _most(self) -> int:
        return max(self.sizes.history_tokens, self.sizes.candidate_tokens)


def told_events(catalogue: Catalogue, request: EncodedRequest, most: int) -> list[TitledEvent]:
    """The latest events of a request as a template tells them, at most so many, each title on one line."""
    latest = slice(max(0, len(request.history) - most), None)
    now = request.request.context.timestamp
    rows, types, times = request.history[latest].tolist(), request.types[latest], request.times[latest].tolist()
    return [
        TitledEvent(" ".join((catalogue.titles[row] or catalogue.texts[row]).split()), kind, max(0.0, now - time))
        for row, kind, time in zip(rows, types, times, strict=True)
    ]


def padded(rows: Sequence[TokenIds], padding: int) -> tuple[TokenIds, npt.NDArray[np.bool_]]:
    """Rows of token ids filled up to the longest, and where they are real, `[rows, tokens]` both."""
    longest = max((len(row) for row in rows), default=1)
    ids = np.full((len(rows), max(1, longest)), padding, np.int64)
    real = np.zeros(ids.shape, bool)
    for at, row in enumerate(rows):
        ids[at, : len(row)], real[at, : len(row)] = row, True
    return ids, real
