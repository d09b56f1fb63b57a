"""Interest models that teach a smaller one: what they say to a batch's questions.

A model of the same kind learns from the teachers' whole distributions over items (knowledge distillation: Hinton et
al., 2015; for rankings: Tang and Wang, 2018). Several teachers are one: their logits' mean. Since a logit is a product
of a query and an item's vector, that mean is the product of their queries and vectors set side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from liverank.config.training import DistilConfig
from liverank.errors import ConfigError
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.interest import InterestRanker
from liverank.ranking.interest_model import Asked, InterestModel, Window


@dataclass(frozen=True)
class Teacher:
    """One teaching model, over the items and event types of the one that is taught."""

    model: InterestModel
    vectors: Tensor
    """Of the taught one's items, `[items, width]`."""
    types: Tensor
    """The teacher's number of each of the taught one's event types, `[types + 1]`; the last for unknown ones."""

    @classmethod
    def of(cls, ranker: InterestRanker, catalogue: Catalogue, types: Sequence[str]) -> Teacher:
        """The model of a ranker, for items of `catalogue`, with embeddings, and these types.

        An item that the teacher has never met is to it what its text is.

        Raises:
            ConfigError: the ranker's bundle is compressed.
        """
        if ranker.network.kind != "float32" or not ranker.model.ids.num_embeddings:
            raise ConfigError("A compressed bundle cannot teach.", "Name the bundle that it was made from.")
        rows = ranker.catalogue.rows(catalogue.item_ids)
        vectors = ranker.table.rows(np.maximum(rows, 0)) if len(ranker.catalogue) else None
        unknown = np.flatnonzero(rows < 0)
        if vectors is None or len(unknown) == len(rows):
            raise ConfigError("A teacher knows none of the items.", "Name a bundle of the same catalogue.")
        if len(unknown):
            texts = [catalogue.texts[row] for row in unknown.tolist()]
            vectors[unknown] = ranker.from_text(texts, catalogue.embedded[unknown])
        named: Mapping[str, int] = ranker.types
        numbers = [*(named.get(name, len(named)) for name in types), len(named)]
        return cls(ranker.model, torch.from_numpy(vectors), torch.tensor(numbers))

    def to(self, device: torch.device) -> Teacher:
        """The same on a device."""
        return Teacher(self.model.to(device).eval(), self.vectors.to(device), self.types.to(device))

    def queries(self, items: Tensor, window: Window, asks: Tensor, asked: Asked) -> Tensor:
        """One query a question, `[questions, width]`; see `Teachers.say`."""
        states = self.model.encode(self.vectors[items], replace(window, types=self.types[window.types]))
        return self.model.ask(states.flatten(0, 1)[asks], asked)


class Teachers:
    """Several teachers as one.

    Args:
        teachers: at least one.
        config: how much they weigh, and their temperature.
    """

    def __init__(self, teachers: Sequence[Teacher], config: DistilConfig) -> None:
        self.teachers = tuple(teachers)
        self.config = config

    def to(self, device: torch.device) -> Teachers:
        """The same on a device."""
        return Teachers([teacher.to(device) for teacher in self.teachers], self.config)

    @torch.no_grad()
    def say(self, rows: Tensor, items: Tensor, window: Window, asks: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        """Queries `[questions, their widths]` and item vectors `[rows, their widths]`, whose products are logits.

        Args:
            rows: of the items that compete, `[rows]`.
            items: row of each event's item, `[events]`.
            window: the batch's steps and events.
            asks: place of each question in the flattened batch, `[questions]`.
            asked: when each question is asked.
        """
        queries = [teacher.queries(items, window, asks, asked) for teacher in self.teachers]
        vectors = [teacher.vectors[rows] for teacher in self.teachers]
        return torch.cat(queries, dim=1) / len(self.teachers), torch.cat(vectors, dim=1)
