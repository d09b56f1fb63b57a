"""The interest ranker: the trained interest model over precomputed item vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from liverank.config.training import InterestConfig
from liverank.ranking import arrays
from liverank.ranking.data import Catalogue, EncodedRequest, Floats, Rows, encode
from liverank.ranking.interest_model import PADDING_STEP, InterestModel, gap_bucket
from liverank.ranking.protocol import Request, Scores
from liverank.ranking.zero_shot import TextEncoder, candidate_embeddings


class InterestRanker:
    """Encodes each history once; a candidate's score is one dot product. Without a history every score is 0."""

    name = "interest"

    def __init__(
        self,
        catalogue: Catalogue,
        model: InterestModel,
        types: Sequence[str],
        encoder: TextEncoder,
        vectors: Floats | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.model = model.eval()
        self.types = {name: at for at, name in enumerate(types)}
        self.encoder = encoder
        self.vectors = self._item_vectors() if vectors is None else vectors
        self._table = torch.from_numpy(self.vectors)

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        return self.score_encoded([encode(self.catalogue, request) for request in requests])

    def score_encoded(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        """As `score_batch`, for requests that were looked up in this catalogue."""
        known = [at for at, request in enumerate(requests) if len(request.history)]
        queries = np.zeros((len(requests), self.vectors.shape[1]), np.float32)
        if known:
            queries[known] = self.queries([requests[at] for at in known])
        return [self._candidates(request) @ query for request, query in zip(requests, queries, strict=True)]

    def queries(self, requests: Sequence[EncodedRequest]) -> Floats:
        """One query for each request (with a history), `[requests, width]`."""
        length = self.model.config.history_length
        counts = [min(len(request.history), length) for request in requests]
        shape = (len(requests), max(counts))
        rows, types, steps = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.full(shape, PADDING_STEP)
        gaps, last_gap = np.zeros(shape), np.zeros(len(requests))
        for at, (request, count) in enumerate(zip(requests, counts, strict=True)):
            rows[at, :count] = request.history[-count:]
            types[at, :count] = [self.types.get(name, len(self.types)) for name in request.types[-count:]]
            steps[at, :count] = -request.steps_back[-count:]
            gaps[at, :count] = np.diff(request.times, prepend=request.times[:1])[-count:]
            last_gap[at] = request.request.context.timestamp - request.times[-1]
        with torch.inference_mode():
            parts = (torch.from_numpy(types), gap_bucket(torch.from_numpy(gaps)), torch.from_numpy(steps))
            states = self.model.encode(self._table[torch.from_numpy(rows)], *parts)
            last = states[torch.arange(len(requests)), torch.tensor(counts) - 1]
            queries: Floats = self.model.ask(last, gap_bucket(torch.from_numpy(last_gap))).numpy()
        return queries

    def _candidates(self, request: EncodedRequest) -> Floats:
        vectors = self.vectors[request.candidates]
        unknown = np.flatnonzero(request.candidates < 0)
        if len(unknown):
            embeddings = candidate_embeddings(self.catalogue, request, self.encoder)[unknown]
            vectors[unknown] = self._from_text(embeddings)
        return vectors

    def _from_text(self, embeddings: Floats) -> Floats:
        """Vectors of items by their text; an item without text gets zeros."""
        with torch.inference_mode():
            vectors: Floats = self.model.text_vectors(torch.from_numpy(np.ascontiguousarray(embeddings))).numpy()
        return vectors * embeddings.any(axis=1, keepdims=True)

    def _item_vectors(self) -> Floats:
        assert self.catalogue.embeddings is not None
        vectors = self._from_text(self.catalogue.embeddings)
        ids = self._learned_ids()
        vectors[: len(ids)] += ids
        return vectors

    def _learned_ids(self) -> Floats:
        """Id embeddings, zero for items without a training event: theirs were never learned, `[trained, width]`."""
        ids = self.model.ids.weight.detach().numpy()
        met = self.catalogue.train_events[: len(ids)] > 0
        return ids * met[:, None].astype(np.float32)

    def on(self, catalogue: Catalogue, changed: Rows) -> InterestRanker:
        """The same model over a catalogue with appended items and rewritten texts (`changed` rows)."""
        assert catalogue.embeddings is not None
        new = np.zeros((len(catalogue) - len(self.catalogue), self.vectors.shape[1]), np.float32)
        vectors = np.concatenate([self.vectors, new])
        if len(changed):
            vectors[changed] = self._from_text(catalogue.embeddings[changed])
            ids = self._learned_ids()
            learned = changed[changed < len(ids)]
            vectors[learned] += ids[learned]
        return InterestRanker(catalogue, self.model, list(self.types), self.encoder, vectors)

    def save(self, folder: Path) -> None:
        """Writes the weights, the configuration and the names of event types."""
        tensors = {name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}
        arrays.write(folder, tensors, {"config": self.model.config.model_dump(), "types": list(self.types)})

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, encoder: TextEncoder) -> InterestRanker:
        """The ranker that `save` wrote."""
        data, settings = arrays.read(folder)
        config = InterestConfig.model_validate(settings["config"])
        text_width = data["project.weight"].shape[1]
        model = InterestModel(len(data["ids.weight"]), len(settings["types"]), text_width, config)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in data.items()})
        return cls(catalogue, model, settings["types"], encoder)
