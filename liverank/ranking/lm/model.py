"""A language model that reads a history once and scores any number of candidates against it.

What a candidate's tokens attend to is the history and themselves, never other candidates: so a score depends neither on
who else is in the list nor on the order of the list, and the history's part is computed once for all.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from liverank.text import LanguageModelError

TokenIds = npt.NDArray[np.int64]
COSINE_SCALE = 10.0
"""What the cosine of history and candidate is multiplied by before training: logits that tell candidates apart."""


class HistoryReader(Protocol):
    """What reads histories and, against them, candidates; `nn.Module`s all.

    `pooling` says where an embedding lies: `mean` over all tokens (encoders) or in the `last` one (decoders).
    """

    width: int

    def read(self, ids: Tensor, real: Tensor) -> HistoryStates:
        """What candidates need of histories; `ids` and `real` (where a token is no padding): `[histories, tokens]`."""
        ...

    def unread(self, ids: TokenIds) -> bool:
        """Whether something is kept of each candidate, and nothing yet of the one with these tokens, `[tokens]`."""
        ...

    def prepare(self, ids: TokenIds) -> None:
        """Makes what is kept of a candidate that is unread, `[tokens]`."""
        ...

    def against(self, histories: HistoryStates, ids: Tensor, real: Tensor) -> Tensor:
        """Embeddings of candidates, `[histories, candidates, width]`.

        Args:
            histories: as `read` gave them.
            ids: of the candidates' tokens, `[histories, candidates, tokens]`.
            real: where a token is no padding, of the same shape.
        """
        ...


class HistoryStates:
    """What was read of some histories."""

    def __init__(self, pooled: Tensor, real: Tensor, layers: Any) -> None:
        self.pooled = pooled
        """Embedding of each history, `[histories, width]`."""
        self.real = real
        """Where a token is no padding, `[histories, tokens]`."""
        self.layers = layers
        """Keys and values of the layers in which candidates attend to the history; whose form is the reader's own."""

    @property
    def bytes(self) -> int:
        """Memory of what was read, whatever form its layers have."""
        return _bytes(self.pooled) + _bytes(self.real) + _bytes(self.layers)


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, list | tuple):
        return sum(map(_bytes, value))
    # A cache of Hugging Face: layers that hold keys and values.
    return sum(_bytes([layer.keys, layer.values]) for layer in getattr(value, "layers", ()))


class LmScorer(nn.Module):
    """A reader and the head that makes scores of its embeddings.

    A score is the scaled cosine of the history's and the candidate's embeddings, which says something before any
    training, and a linear function of the candidate's, which begins at 0.
    """

    def __init__(self, reader: Any, pretrained_cosine: bool) -> None:
        super().__init__()
        self.reader = reader
        self.scale = nn.Parameter(torch.tensor([COSINE_SCALE if pretrained_cosine else 1.0]))
        self.linear = nn.Linear(reader.width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, history: tuple[Tensor, Tensor], candidates: tuple[Tensor, Tensor]) -> Tensor:
        """Scores `[histories, candidates]`; each argument is token ids and where they are real."""
        return self.scores(self.reader.read(*history), *candidates)

    def scores(self, states: HistoryStates, ids: Tensor, real: Tensor) -> Tensor:
        """As `forward`, of histories that were read."""
        embedded = self.reader.against(states, ids, real).float()
        history = nn.functional.normalize(states.pooled.float(), dim=-1)
        cosine = (nn.functional.normalize(embedded, dim=-1) @ history.unsqueeze(-1)).squeeze(-1)
        scores: Tensor = self.scale * cosine + self.linear(embedded).squeeze(-1)
        return scores

    def trained(self) -> dict[str, nn.Parameter]:
        """What training changes, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def load_trained(self, tensors: dict[str, Tensor]) -> None:
        """Puts what was trained in place.

        Raises:
            LanguageModelError: the names or shapes are of another model.
        """
        mine = self.trained()
        if mine.keys() != tensors.keys() or any(mine[name].shape != tensors[name].shape for name in mine):
            raise LanguageModelError(
                "The trained tensors do not fit the language model.", "Give the one that they were trained from."
            )
        with torch.no_grad():
            for name, parameter in mine.items():
                parameter.copy_(tensors[name])


def mean_over(states: Tensor, real: Tensor) -> Tensor:
    """Mean of the tokens that are real, `[..., width]`, of states `[..., tokens, width]`."""
    weights = real.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(-2) / weights.sum(-2).clamp(min=1)
