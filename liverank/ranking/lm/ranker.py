"""The language-model ranker: reads a history once, and the candidates that it is asked about against it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from liverank.config.lm import LmConfig
from liverank.errors import BundleError
from liverank.ranking import arrays
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.data import EncodedRequest, Rows, encode
from liverank.ranking.interest_steps import precision_on
from liverank.ranking.lm.cascade import Took
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.model import HistoryStates, LmScorer, TokenIds
from liverank.ranking.lm.prompts import Prompts, padded
from liverank.ranking.lm.training import candidate_block
from liverank.ranking.protocol import Request, Scores
from liverank.text import LanguageModel

CANDIDATES_AT_ONCE: Final = 64
"""Candidates in one forward pass."""


class ReadHistories:
    """Histories as they were read, by their token ids, the latest used; and the lock of the model that read them."""

    def __init__(self, most_bytes: int) -> None:
        self.lock = threading.Lock()
        self._most, self._bytes = most_bytes, 0
        self._kept: OrderedDict[bytes, tuple[HistoryStates, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, key: bytes) -> HistoryStates | None:
        """What was read, or None."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: bytes, states: HistoryStates) -> None:
        """Keeps what was read, in place of what was not asked for the longest where there is no more room."""
        size = states.bytes
        self._kept[key] = states, size
        self._bytes += size
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forgets all."""
        self._kept.clear()
        self._bytes = 0


class LmRanker:
    """Scores of a fine-tuned language model; 0 without a history, and the others' mean without a text to read.

    Candidates are read in an order of their own, by length and text: what rounding does to a score does not depend on
    the order in which they came.
    """

    name = "lm"

    def __init__(
        self,
        catalogue: Catalogue,
        prompts: Prompts,
        scorer: LmScorer,
        config: LmConfig,
        base: tuple[str, str],
        shared: ReadHistories | None = None,
    ) -> None:
        """Takes what was fitted or loaded.

        Args:
            catalogue: of the items.
            prompts: make token ids.
            scorer: the model.
            config: of its training.
            base: name of the language model, and the hash of its weights.
            shared: histories that another ranker over the same model has read; None: none yet.
        """
        self.catalogue = catalogue
        self.prompts = prompts
        self.scorer = scorer.eval()
        self.config = config
        self.base = base
        self._device = next(scorer.parameters()).device
        self._shared = ReadHistories(config.cache_mib << 20) if shared is None else shared

    def score_batch(self, requests: Sequence[Request]) -> list[Scores]:
        """Scores of each request: a list of `[candidates]` arrays."""
        return self.score_encoded([encode(self.catalogue, request) for request in requests])

    def score_encoded(self, requests: Sequence[EncodedRequest]) -> list[Scores]:
        """As `score_batch`, for requests that were looked up in this catalogue."""
        return [self.score_some(request, np.arange(len(request.candidates))) for request in requests]

    def score_some(self, request: EncodedRequest, places: Rows) -> Scores:
        """Scores of the candidates in some places of the list, `[places]`."""
        return self.score_texts(request, self.texts(request, places))

    def score_texts(self, request: EncodedRequest, texts: Sequence[str]) -> Scores:
        """Scores of texts after the request's history, `[texts]`."""
        return self._measured(request, texts)[0]

    def measured(self, request: EncodedRequest, places: Rows) -> tuple[Scores, Took]:
        """As `score_some`, and what it cost."""
        return self._measured(request, self.texts(request, places))

    def _measured(self, request: EncodedRequest, texts: Sequence[str]) -> tuple[Scores, Took]:
        scores = np.zeros(len(texts), np.float32)
        told = [at for at, text in enumerate(texts) if text]
        if not len(request.history) or not told:
            return scores, Took()
        with self._shared.lock, torch.no_grad(), self._precision():
            candidates = [self.prompts.candidate(texts[at]) for at in told]
            began = time.perf_counter()
            new = {ids.tobytes(): ids for ids in candidates if self.scorer.reader.unread(ids)}
            for ids in new.values():
                self.scorer.reader.prepare(ids)
            started = time.perf_counter()
            states, known = self._history(request)
            read = time.perf_counter()
            scores[told] = self._against(states, candidates)
            scoring, preparing = time.perf_counter() - read, started - began if new else 0.0
            took = Took(0.0 if known else read - started, scoring, len(told), preparing, len(new))
        if len(told) < len(texts):
            untold = np.setdiff1d(np.arange(len(texts)), told)
            scores[untold] = scores[told].mean()
        return scores, took

    def _precision(self) -> Any:
        return nullcontext() if self.config.precision == "float32" else precision_on(self._device)

    def texts(self, request: EncodedRequest, places: Rows) -> list[str]:
        """What is read of the candidates in some places; empty where nothing is known."""
        given = request.request.candidates
        rows = request.candidates[places].tolist()
        return [
            self.catalogue.texts[row] if row >= 0 else given.texts.get(given.item_ids[place], "")
            for row, place in zip(rows, places.tolist(), strict=True)
        ]

    def _history(self, request: EncodedRequest) -> tuple[HistoryStates, bool]:
        """The history as it was read, and whether it was known."""
        ids = self.prompts.history(self.catalogue, request)
        known = self._shared.take(ids.tobytes())
        if known is not None:
            return known, True
        row, real = padded([ids], self.prompts.padding)
        states = self.scorer.reader.read(
            torch.from_numpy(row).to(self._device), torch.from_numpy(real).to(self._device)
        )
        self._shared.keep(ids.tobytes(), states)
        return states, False

    def _against(self, states: HistoryStates, candidates: Sequence[TokenIds]) -> Scores:
        order = sorted(range(len(candidates)), key=lambda at: (len(candidates[at]), candidates[at].tobytes()))
        scores = np.zeros(len(candidates), np.float32)
        for start in range(0, len(order), CANDIDATES_AT_ONCE):
            part = order[start : start + CANDIDATES_AT_ONCE]
            ids, real = candidate_block([[candidates[at] for at in part]], self.prompts.padding)
            found = self.scorer.scores(
                states, torch.from_numpy(ids).to(self._device), torch.from_numpy(real).to(self._device)
            )
            scores[part] = found[0].float().cpu().numpy()
        return scores

    def forget(self) -> None:
        """Forgets the histories that were read: the weights have changed, or a clock is to measure reading."""
        with self._shared.lock:
            self._shared.clear()

    def unread(self, request: EncodedRequest, places: Rows) -> list[bool]:
        """Whether each of the candidates in some places has a text that was never read: it costs more, once."""
        texts = self.texts(request, places)
        with self._shared.lock:
            return [bool(text) and self.scorer.reader.unread(self.prompts.candidate(text)) for text in texts]

    def cost(self, request: EncodedRequest, places: Rows) -> Took:
        """Seconds to read the history and to score these candidates, measured on the spot."""
        self.forget()
        _, first = self.measured(request, places)  # texts that are met the first time are read, which later need not
        self.forget()
        _, took = self.measured(request, places)
        return replace(took, preparing=first.preparing, unread=first.unread)

    def on(self, catalogue: Catalogue, changed: Rows) -> LmRanker:
        """The same model over another catalogue: it reads texts, whatever rows they stand in."""
        return LmRanker(catalogue, self.prompts, self.scorer, self.config, self.base, self._shared)

    def save(self, folder: Path) -> None:
        """Writes what was trained; the rest is the language model as it was published."""
        tensors = {name: of.detach().float().cpu().numpy() for name, of in self.scorer.trained().items()}
        name, fingerprint = self.base
        settings = {"config": self.config.model_dump(), "model": name, "fingerprint": fingerprint}
        arrays.write(folder, tensors, settings)

    @classmethod
    def load(cls, folder: Path, catalogue: Catalogue, device: str = "cpu") -> LmRanker:
        """The ranker that `save` wrote.

        Raises:
            BundleError: the language model here has other weights than the one that was fine-tuned.
            LanguageModelError: it cannot be had.
        """
        data, settings = arrays.read(folder)
        config, name = LmConfig.model_validate(settings["config"]), settings["model"]
        if weights_mark(name) != settings["fingerprint"]:
            raise BundleError(
                f"The re-ranker was fine-tuned from other weights than this {name}'s.", "Give those, or train again."
            )
        prompts, scorer = load_scorer(name, config, torch.device(device))
        scorer.load_trained({key: torch.from_numpy(array) for key, array in data.items()})
        return cls(catalogue, prompts, scorer, config, (name, settings["fingerprint"]))


def weights_mark(name: str) -> str:
    """Hash of a language model's weights, or of its name where they are not local."""
    return LanguageModel(name, 0).fingerprint()
