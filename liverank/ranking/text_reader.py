"""Distinct texts as tokens, with what the untuned layers make of them computed once and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from liverank import progress
from liverank.ranking.catalogue import Rows
from liverank.ranking.layered_encoder import LayeredEncoder

_TEXTS_AT_ONCE = {"cpu": 32, "cuda": 512}
_TOKENISED_AT_ONCE = 10_000
_HALF_BYTES = 2


class TextReader:
    """Unit vectors of texts by row. Rows of similar length are read together, so that little is spent on padding."""

    def __init__(
        self, encoder: LayeredEncoder, tokenizer: Any, texts: Sequence[str], max_tokens: int, most_bytes: int
    ) -> None:
        """Tokenises `texts` and runs the lower layers on them, where their states fit into `most_bytes`.

        States are kept in half precision on the encoder's device.
        """
        self.encoder = encoder
        self._padding = int(tokenizer.pad_token_id or 0)
        self._ids, self.lengths = _tokens(tokenizer, texts, max_tokens)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self._at_once = _TEXTS_AT_ONCE[encoder.device.type]
        self._states: Tensor | None = None
        if encoder.cut and len(self._ids) * encoder.width * _HALF_BYTES <= most_bytes:
            self._states = self._kept()

    @property
    def cached(self) -> bool:
        """Whether the lower layers' states are kept, rather than computed each time."""
        return self._states is not None

    def vectors(self, rows: Rows) -> Tensor:
        """Unit vectors of the texts, `[rows, width]`, with gradients where they are on."""
        parts = list(self._parts(rows))
        read = torch.cat([self._read(rows[part]) for part in parts])
        place = np.empty(len(rows), np.int64)
        place[np.concatenate(parts)] = np.arange(len(rows))
        return read[torch.from_numpy(place).to(read.device)]

    def frozen_vectors(self, rows: Rows, stage: progress.Stage) -> Tensor:
        """As `vectors`, without dropout and gradients, `[rows, width]`."""
        self.encoder.model.eval()
        found = torch.empty(len(rows), self.encoder.width, device=self.encoder.device)
        with torch.inference_mode():
            for part in self._parts(rows):
                found[torch.from_numpy(part).to(found.device)] = self._read(rows[part]).float()
                stage.advance(len(part))
        return found

    def _parts(self, rows: Rows) -> Iterator[Rows]:
        """Places in `rows` of the texts that are read together."""
        order = np.argsort(self.lengths[rows], kind="stable")
        for start in range(0, len(order), self._at_once):
            yield order[start : start + self._at_once]

    def _read(self, rows: Rows) -> Tensor:
        at, mask = self._places(rows)
        if self._states is None:
            return self.encoder.upper(self.encoder.lower(self._token_ids(at, mask), mask), mask)
        return self.encoder.upper(self._states[at].float(), mask)

    def _places(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Places of the tokens in the flat list, those of padding being the first token's, and the mask."""
        lengths = self.lengths[rows]
        column = np.arange(int(lengths.max()))
        inside = column < lengths[:, None]
        at = self._starts[rows][:, None] + np.where(inside, column, 0)
        return torch.from_numpy(at).to(self.encoder.device), torch.from_numpy(inside).long().to(self.encoder.device)

    def _token_ids(self, at: Tensor, mask: Tensor) -> Tensor:
        ids = torch.from_numpy(self._ids[at.cpu().numpy()]).to(self.encoder.device)
        return torch.where(mask.bool(), ids, self._padding)

    def _kept(self) -> Tensor:
        kept = torch.empty(len(self._ids), self.encoder.width, dtype=torch.float16, device=self.encoder.device)
        everything = np.arange(len(self.lengths))
        with progress.stage("read texts once", len(everything)) as stage:
            for part in self._parts(everything):
                at, mask = self._places(part)
                inside = mask.bool()
                kept[at[inside]] = self.encoder.lower(self._token_ids(at, mask), mask)[inside].half()
                stage.advance(len(part))
        return kept


def _tokens(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> tuple[Rows, Rows]:
    """Token ids of all texts, one after the other, and the number of tokens of each."""
    ids: list[Rows] = []
    for start in range(0, len(texts), _TOKENISED_AT_ONCE):
        part = list(texts[start : start + _TOKENISED_AT_ONCE])
        found = tokenizer(part, truncation=True, max_length=max_tokens)["input_ids"]
        ids.extend(np.asarray(one, np.int64) for one in found)
    return np.concatenate(ids), np.asarray([len(one) for one in ids], np.int64)
