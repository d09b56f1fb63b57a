"""The interest ranker: the trained interest model over precomputed item vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.ranking import arrays
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import Catalogue, EncodedRequest, Events, Floats, Rows, encode, texts_of_unknown
from liverank.ranking.interest_inputs import inputs_of, moments_of
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.interest_report import InterestReport
from liverank.ranking.interest_training import train
from liverank.ranking.item_table import ItemTable
from liverank.ranking.numpy_network import NumpyReader
from liverank.ranking.protocol import Request, Scores, remembered
from liverank.ranking.query_network import QueryNetwork, TorchNetwork, network_of
from liverank.ranking.ranks import Ranks
from liverank.ranking.text_features import TextFeatures
from liverank.ranking.zero_shot import TextEncoder
from liverank.recent_texts import RecentTexts, apart

if TYPE_CHECKING:
    from liverank.ranking.teachers import Teachers

_MODEL, _TEXT = "model/", "text/"
TEXTS_AT_ONCE = 65_536


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
        table: ItemTable | None = None,
        network: QueryNetwork | None = None,
        config: InterestConfig | None = None,
    ) -> None:
        """Takes what was fitted or loaded.

        Args:
            catalogue: the items, with their embeddings.
            model: projects texts, and reads events where `network` does not.
            types: names of the event types.
            encoder: of texts that come with requests.
            text: makes features of texts.
            table: the items' vectors; None: those of `model`.
            network: reads events; None: `model` itself.
            config: of the model as it was trained; None: what `model` says.
        """
        self.catalogue = catalogue
        self.model = model.eval()
        self.types = {name: at for at, name in enumerate(types)}
        self.encoder = encoder
        self.text = text
        self.config = config or model.config
        self.table = ItemTable(self.item_vectors()) if table is None else table
        self.network = network or TorchNetwork(model)
        self.pruned: Rows = np.zeros(0, np.int64)
        """Rows of `table` that come from their text alone, and so need not be written."""
        self._recent = RecentTexts[Floats]()
        """Vectors of texts that came with requests, `[width]` each."""
        self._learned: dict[int, Floats] = {}
        """By row, what the vector of an item whose text has changed since holds beside its text's, `[width]`."""

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        return self.score_encoded([encode(self.catalogue, request) for request in requests])

    def score_encoded(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        """As `score_batch`, for requests that were looked up in this catalogue."""
        known = [at for at, request in enumerate(requests) if len(request.history)]
        queries = np.zeros((len(requests), self.table.width), np.float32)
        if known:
            queries[known] = self.queries([requests[at] for at in known])
        return [self._scores(request, query) for request, query in zip(requests, queries, strict=True)]

    def queries(self, requests: Sequence[EncodedRequest]) -> Floats:
        """One query for each request (with a history), `[requests, width]`."""
        reader = self.network.single
        if reader is not None and all(request.request.history.memo is not None for request in requests):
            return np.stack([self._query(reader, request) for request in requests])
        if self.network.alone and len(requests) > 1:
            return np.concatenate([self.queries([request]) for request in requests])
        inputs = inputs_of(requests, self.types, self.config.history_length)
        return self.network.queries(self.table.rows(inputs.rows), inputs)

    def _query(self, reader: NumpyReader, request: EncodedRequest) -> Floats:
        """The query of one request, `[width]`, whose events are read once for as long as they are the user's latest."""

        def read() -> Floats:
            inputs = inputs_of([request], self.types, self.config.history_length)
            return reader.state(self.table.rows(inputs.rows), inputs)

        state = remembered(request.request.history, self, self.name, read)
        return reader.ask(state, moments_of([request]))

    def _scores(self, request: EncodedRequest, query: Floats) -> Scores:
        scores = self.table.scores(request.candidates, query)
        unknown = np.flatnonzero(request.candidates < 0)
        if len(unknown):
            scores[unknown] = 0
            told = texts_of_unknown(request)
            if told:
                vectors = np.stack(self._recent.made(list(told.values()), self._read))
                # Row by row: the order of the candidates must not matter (`BlendRanker.combine`).
                scores[list(told)] = np.vecdot(vectors, query)
        return scores

    def remember_texts(self, texts: Sequence[str]) -> None:
        """Makes vectors of texts of items outside the catalogue ahead of their scoring."""
        self._recent.made(texts, self._read)

    def texts_read(self, texts: Iterable[str]) -> set[str]:
        """Those of the texts whose vectors are at hand."""
        return set(self._recent.known(texts))

    def _read(self, texts: Sequence[str]) -> Iterator[Floats]:
        return apart(self.from_text(texts, self.encoder.encode_remembered(texts)))

    def from_text(self, texts: Sequence[str], embeddings: Floats) -> Floats:
        """Vectors of items that only their text is known of, `[texts, width]`."""
        # Piece by piece: the features of a million texts are many times larger than their vectors.
        pieces = [slice(start, start + TEXTS_AT_ONCE) for start in range(0, len(texts), TEXTS_AT_ONCE)]
        vectors = np.zeros((len(texts), self.config.dimension), np.float32)
        for piece in pieces:
            features = np.ascontiguousarray(self.text.transform(texts[piece], embeddings[piece]))
            with torch.inference_mode():
                vectors[piece] = self.model.text_vectors(torch.from_numpy(features)).numpy()
        return vectors

    def text_vectors_of(self, rows: Rows) -> Floats:
        """As `from_text`, of items of the catalogue, `[rows, width]`."""
        return _text_vectors(self.catalogue, rows, self.from_text)

    def item_vectors(self) -> Floats:
        """Vectors of all items: their texts', and what was learned of each id as far as it is trusted."""
        vectors = self.text_vectors_of(np.arange(len(self.catalogue)))
        with torch.inference_mode():
            ids: Floats = self.model.id_vectors(torch.arange(self.model.ids.num_embeddings)).numpy()
        vectors[: len(ids)] += ids
        return vectors

    def on(self, catalogue: Catalogue, changed: Rows) -> InterestRanker:
        """The same model over a catalogue with appended items and rewritten texts (`changed` rows).

        What was learned of an id is what its vector has beside its first text's: told anew from each text, the rounding
        of a table of bytes would add up.
        """
        vectors = _text_vectors(catalogue, changed, self.from_text)
        old = changed < len(self.catalogue)
        first = np.array([row for row in changed[old].tolist() if row not in self._learned], np.int64)
        beside = self.table.rows(first) - self.text_vectors_of(first)
        self._learned.update(zip(first.tolist(), beside, strict=True))
        for at in np.flatnonzero(old).tolist():
            vectors[at] += self._learned[int(changed[at])]
        table = self.table.with_rows(len(catalogue), changed, vectors)
        moved = self.with_parts(table, self.network, self.model, catalogue)
        moved._learned, moved._recent = self._learned, self._recent
        return moved

    def with_parts(
        self, table: ItemTable, network: QueryNetwork, model: InterestModel, catalogue: Catalogue | None = None
    ) -> InterestRanker:
        """The same ranker with another table, network and model, and over another catalogue if one is given."""
        over = self.catalogue if catalogue is None else catalogue
        types = list(self.types)
        moved = InterestRanker(over, model, types, self.encoder, self.text, table, network, self.config)
        moved.pruned = self.pruned
        return moved

    def save(self, folder: Path) -> None:
        """Writes the weights, the items' vectors, the configuration and the names of event types."""
        tensors = {_MODEL + name: tensor.detach().cpu().numpy() for name, tensor in self.network.weights().items()}
        text = {_TEXT + name: array for name, array in self.text.arrays().items()}
        settings = {"config": self.config.model_dump(), "types": list(self.types), "network": self.network.kind}
        kept = np.setdiff1d(np.arange(len(self.table)), self.pruned)
        table = self.table.only(kept).arrays() if len(self.pruned) else self.table.arrays()
        pruned = {"pruned": self.pruned} if len(self.pruned) else {}
        arrays.write(folder, {**tensors, **text, **table, **pruned, **self.network.arrays()}, settings)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, encoder: TextEncoder) -> InterestRanker:
        """The ranker that `save` wrote.

        Raises:
            BundleError: it needs ONNX Runtime, which is not installed.
        """
        data, settings = arrays.read(folder)
        config, kind = InterestConfig.model_validate(settings["config"]), settings.get("network", "float32")
        kept = {name: torch.from_numpy(array) for name, array in _under(data, _MODEL).items()}
        graph = data["graph"].tobytes() if "graph" in data else b""
        model, network = network_of(kind, kept, len(settings["types"]), config, graph)
        text = TextFeatures.from_arrays(_under(data, _TEXT))
        table = ItemTable.from_arrays(data)
        ranker = cls(catalogue, model, settings["types"], encoder, text, table, network, config)
        if "pruned" in data:
            ranker.pruned = data["pruned"]
            ranker.table = _refilled(table, ranker.pruned, len(catalogue), ranker.text_vectors_of(ranker.pruned))
        return ranker


def _refilled(kept: ItemTable, pruned: Rows, items: int, vectors: Floats) -> ItemTable:
    """The whole table, from the rows that were written and the vectors of those that were not."""
    places = np.setdiff1d(np.arange(items), pruned)
    order = np.zeros(items, np.int64)
    order[places] = np.arange(len(places))
    return kept.only(order).with_rows(items, pruned, vectors)


def _text_vectors(catalogue: Catalogue, rows: Rows, project: Callable[[Sequence[str], Floats], Floats]) -> Floats:
    return project([catalogue.texts[row] for row in rows.tolist()], catalogue.embedded[rows])


def fit_interest(
    catalogue: Catalogue,
    events: Events,
    config: TrainingConfig,
    encoder: TextEncoder,
    validate: Callable[[InterestRanker], float] | None,
    checkpoint: Checkpoint,
    ranks: Ranks | None = None,
    teachers: Teachers | None = None,
) -> tuple[InterestRanker, InterestReport]:
    """Trains the interest model; `validate` judges it as a ranker after each epoch (see `train`)."""
    text, features = _text_features(catalogue, config)

    def ranker(network: InterestModel) -> InterestRanker:
        return InterestRanker(catalogue, network, events.types, encoder, text)

    judge = None if validate is None else lambda network: validate(ranker(deepcopy(network).cpu()))
    network, report = train(features, events, config, judge, checkpoint, ranks, teachers)
    return ranker(network), report


def help_fit_interest(
    catalogue: Catalogue,
    events: Events,
    config: TrainingConfig,
    checkpoint: Checkpoint,
    ranks: Ranks,
    teachers: Teachers | None = None,
) -> tuple[InterestModel, Floats]:
    """What every process but the first does of `fit_interest`: it trains, and leaves the rest to the first.

    Returns the network, and the text features of the items that it was trained with, `[items, width]`.
    """
    features = _text_features(catalogue, config)[1]
    return train(features, events, config, None, checkpoint, ranks, teachers)[0], features


def _text_features(catalogue: Catalogue, config: TrainingConfig) -> tuple[TextFeatures, Floats]:
    text = TextFeatures.fit(catalogue.texts, catalogue.embedded, config.interest.word_columns, config.seed)
    return text, text.transform(catalogue.texts, catalogue.embedded)


def _under(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
