"""The interest ranker: the trained interest model over precomputed item vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.ranking import arrays
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows, encode
from liverank.ranking.interest_loss import hour_of, weekday_of
from liverank.ranking.interest_model import Asked, InterestModel, Window, again_bucket, gap_bucket
from liverank.ranking.interest_training import InterestReport, train
from liverank.ranking.protocol import Request, Scores
from liverank.ranking.text_features import TextFeatures
from liverank.ranking.zero_shot import TextEncoder, candidate_embeddings

Ints = npt.NDArray[np.int64]
_MODEL, _TEXT = "model/", "text/"


class InterestRanker:
    """Encodes each history once; a candidate's score is one dot product. Without a history every score is 0."""

    name = "interest"

    def __init__(
        self,
        catalogue: Catalogue,
        model: InterestModel,
        types: Sequence[str],
        encoder: TextEncoder,
        text: TextFeatures,
        vectors: Floats | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.model = model.eval()
        self.types = {name: at for at, name in enumerate(types)}
        self.encoder = encoder
        self.text = text
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
        read = [_read(request, self.model.config.history_length, self.types) for request in requests]
        width = max(len(one.times) for one in read)
        last = np.asarray([request.times[-1] for request in requests])
        now = torch.from_numpy(np.asarray([request.request.context.timestamp for request in requests]))
        with torch.inference_mode():
            rows = torch.from_numpy(np.concatenate([one.rows for one in read]))
            latest = torch.tensor([len(one.times) - 1 for one in read])
            states = self.model.encode_latest(self._table[rows], _window(read, width), latest)
            asked = Asked(gap_bucket(now - torch.from_numpy(last)), hour_of(now), weekday_of(now))
            queries: Floats = self.model.ask(states, asked).numpy()
        return queries

    def _candidates(self, request: EncodedRequest) -> Floats:
        vectors = self.vectors[request.candidates]
        unknown = np.flatnonzero(request.candidates < 0)
        if len(unknown):
            embeddings = candidate_embeddings(self.catalogue, request, self.encoder)[unknown]
            given = request.request.candidates
            texts = [given.texts.get(given.item_ids[at], "") for at in unknown.tolist()]
            vectors[unknown] = self._from_text(texts, embeddings)
        return vectors

    def _from_text(self, texts: Sequence[str], embeddings: Floats) -> Floats:
        features = np.ascontiguousarray(self.text.transform(texts, embeddings))
        with torch.inference_mode():
            vectors: Floats = self.model.text_vectors(torch.from_numpy(features)).numpy()
        return vectors

    def _item_vectors(self) -> Floats:
        assert self.catalogue.embeddings is not None
        vectors = self._from_text(self.catalogue.texts, self.catalogue.embeddings)
        ids = self._learned_ids()
        vectors[: len(ids)] += ids
        return vectors

    def _learned_ids(self) -> Floats:
        """Learned vectors as far as they are trusted, zero for items without a training event, `[trained, width]`."""
        with torch.inference_mode():
            ids: Floats = self.model.id_vectors(torch.arange(self.model.ids.num_embeddings)).numpy()
        return ids

    def on(self, catalogue: Catalogue, changed: Rows) -> InterestRanker:
        """The same model over a catalogue with appended items and rewritten texts (`changed` rows)."""
        assert catalogue.embeddings is not None
        new = np.zeros((len(catalogue) - len(self.catalogue), self.vectors.shape[1]), np.float32)
        vectors = np.concatenate([self.vectors, new])
        if len(changed):
            texts = [catalogue.texts[row] for row in changed.tolist()]
            vectors[changed] = self._from_text(texts, catalogue.embeddings[changed])
            ids = self._learned_ids()
            learned = changed[changed < len(ids)]
            vectors[learned] += ids[learned]
        return InterestRanker(catalogue, self.model, list(self.types), self.encoder, self.text, vectors)

    def save(self, folder: Path) -> None:
        """Writes the weights, the items' vectors, the configuration and the names of event types."""
        tensors = {_MODEL + name: tensor.detach().cpu().numpy() for name, tensor in self.model.state_dict().items()}
        text = {_TEXT + name: array for name, array in self.text.arrays().items()}
        settings = {"config": self.model.config.model_dump(), "types": list(self.types)}
        arrays.write(folder, {**tensors, **text, "vectors": self.vectors}, settings)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, encoder: TextEncoder) -> InterestRanker:
        """The ranker that `save` wrote."""
        data, settings = arrays.read(folder)
        config = InterestConfig.model_validate(settings["config"])
        weights = {name: torch.from_numpy(array) for name, array in _under(data, _MODEL).items()}
        items, text_width = torch.zeros(len(weights["ids.weight"])), len(weights["centre"])
        model = InterestModel(items, len(settings["types"]), text_width, config)
        model.load_state_dict(weights)
        text = TextFeatures.from_arrays(_under(data, _TEXT))
        return cls(catalogue, model, settings["types"], encoder, text, data["vectors"])


def fit_interest(
    catalogue: Catalogue,
    events: Events,
    config: TrainingConfig,
    encoder: TextEncoder,
    validate: Callable[[InterestRanker], float] | None,
    checkpoint: Checkpoint,
) -> tuple[InterestRanker, InterestReport]:
    """Trains the interest model; `validate` judges it as a ranker after each epoch (see `train`)."""
    assert catalogue.embeddings is not None
    text = TextFeatures.fit(catalogue.texts, catalogue.embeddings, config.interest.word_columns, config.seed)
    features = text.transform(catalogue.texts, catalogue.embeddings)

    def ranker(network: InterestModel) -> InterestRanker:
        return InterestRanker(catalogue, network, events.types, encoder, text)

    judge = None if validate is None else lambda network: validate(ranker(deepcopy(network).cpu()))
    network, report = train(features, events, config, judge, checkpoint)
    return ranker(network), report


def _under(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class _Read:
    """The latest steps of a history."""

    rows: Rows
    """Item of each event, `[events]`; so are `types`, `again` and `places`."""
    types: Ints
    again: Floats
    places: Ints
    """Place of the event's step, from 0."""
    times: npt.NDArray[np.float64]
    """Of each step; so are `gaps`."""
    gaps: npt.NDArray[np.float64]


def _read(request: EncodedRequest, length: int, known: Mapping[str, int]) -> _Read:
    """The latest `length` steps of a request's history."""
    back = request.steps_back
    begin = int(np.searchsorted(-back, 1 - length))
    places = back[begin] - back[begin:]
    starts = begin + np.flatnonzero(np.diff(places, prepend=-1))
    times = request.times[starts]
    gaps = times - request.times[np.maximum(starts - 1, 0)]
    types = np.asarray([known.get(name, len(known)) for name in request.types[begin:]], np.int64)
    return _Read(request.history[begin:], types, _times_before(request.history)[begin:], places, times, gaps)


def _window(read: Sequence[_Read], width: int) -> Window:
    gaps, seconds = np.zeros((len(read), width)), np.zeros((len(read), width), np.float32)
    for at, one in enumerate(read):
        gaps[at, : len(one.times)] = one.gaps
        seconds[at, : len(one.times)] = one.times - one.times[0]
    return Window(
        gap_bucket(torch.from_numpy(gaps)),
        torch.from_numpy(seconds),
        torch.from_numpy(np.concatenate([at * width + one.places for at, one in enumerate(read)])),
        torch.from_numpy(np.concatenate([one.types for one in read])),
        again_bucket(torch.from_numpy(np.concatenate([one.again for one in read]))),
    )


def _times_before(rows: Rows) -> Floats:
    """How often each row came before in the list, `[rows]`."""
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    times = np.zeros(len(rows), np.float32)
    times[order] = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return times
