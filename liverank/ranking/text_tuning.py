"""Fine-tuning of the language model on what users take together, so that such items' texts lie near each other.

Contrastive, with all texts of a batch as each other's negatives (InfoNCE, van den Oord et al., 2018) and a correction
for how often hot ones are among them (Yi et al., 2019). What it is worth is measured on texts that no pair had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from liverank import progress
from liverank.config.training import TextTuningConfig, TrainingConfig
from liverank.ranking.catalogue import Floats, Rows
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.data import Events
from liverank.ranking.divergence import check_converging
from liverank.ranking.layered_encoder import LayeredEncoder
from liverank.ranking.significance import surely_positive
from liverank.ranking.speed import pick_device
from liverank.ranking.text_pairs import HeldOut, Judge, Pairs, distinct_texts, held_out_texts, neighbours
from liverank.ranking.text_reader import TextReader
from liverank.text import load_model

WARM_UP = 0.1
"""Share of all steps in which the learning rate rises to its peak."""
WEIGHT_DECAY = 0.01
CHECKPOINT_STEPS = 25
"""Steps between checkpoints; a judgement is one too."""
LEAST_HELD_OUT = 20
"""With fewer texts to judge on nothing is known, and nothing is tuned."""


@dataclass(frozen=True)
class TextTuningReport:
    """How tuning went; recalls are at 10, of the neighbours of texts that no pair had, among all texts."""

    kept: bool
    """Whether the tuned layers are better beyond chance, and so used."""
    steps: int
    best_step: int
    plain_recall: float
    """On the half that judges; so is the next one."""
    tuned_recall: float
    held_out: int
    texts: int
    pairs: int
    parameters: int
    device: str


def tune(
    texts: Sequence[str], events: Events, config: TrainingConfig, checkpoint: Checkpoint
) -> tuple[dict[str, Any], TextTuningReport]:
    """Tunes from the checkpoint, where there is one, to the same layers as without interruption.

    Returns:
        The tensors that changed, by their names in the model, or none where tuning does not help; and how it went.

    Raises:
        LanguageModelError: the model cannot be had, or not be cut into layers.
        ConfigError: a GPU is wanted and there is none.
        TrainingError: tuning diverged.
    """
    device = pick_device(config.device)
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        run = _Run(texts, events, config, checkpoint, device)
        if run.possible:
            run.to_the_end()
        return run.finished()
    finally:
        torch.set_num_threads(before)


def contrastive_loss(
    vectors: Tensor, asked: Tensor, answer: Tensor, log_inclusion: Tensor, temperature: float
) -> Tensor:
    """InfoNCE over the distinct texts of a batch, the mean over its questions.

    Args:
        vectors: unit vectors of the distinct texts, `[texts, width]`: an item that came twice competes once.
        asked: place of each question's text, `[questions]`.
        answer: place of the text that belongs with it, `[questions]`.
        log_inclusion: log of each text's chance to be in the batch, `[texts]`.
        temperature: of the softmax.
    """
    logits = vectors[asked] @ vectors.T / temperature - log_inclusion
    own = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, asked[:, None], True)
    return torch.nn.functional.cross_entropy(logits.masked_fill(own, float("-inf")), answer)


class _Run:
    """One tuning run: everything that a step reads and writes."""

    def __init__(
        self, texts: Sequence[str], events: Events, config: TrainingConfig, checkpoint: Checkpoint, device: torch.device
    ) -> None:
        self.config: TextTuningConfig = config.text
        self.seed, self.device, self.checkpoint = config.seed, device, checkpoint
        distinct, rows = distinct_texts(texts)
        matrix = neighbours(events, rows, len(distinct), self.config.window)
        self.held: HeldOut = held_out_texts(matrix, self.config.held_out, self.seed)
        self.pairs = Pairs(matrix, self.held.rows)
        self.judge = Judge(matrix, self.held.rows, self.seed)
        tokenizer, model = load_model(config.language_model, str(device))
        self.encoder = LayeredEncoder(model, self.config.layers, device)
        self.texts, self.state = len(distinct), TrainingState()
        self.plain = self.best = np.zeros(len(self.held.rows), np.float32)
        self.possible = len(self.held.rows) >= LEAST_HELD_OUT and len(self.pairs) > 0
        if self.possible:
            most_bytes = self.config.cache_mib << 20
            self.reader = TextReader(self.encoder, tokenizer, distinct, config.max_tokens, most_bytes)
            self._start()

    def _start(self) -> None:
        """Judges the model as it is, then takes up what an earlier run left."""
        self.published = {name: tensor.cpu().clone() for name, tensor in self.encoder.tuned.state_dict().items()}
        self.plain = self._recalls()
        self.optimizer = torch.optim.AdamW(
            self.encoder.tuned.parameters(), lr=self.config.learning_rate, weight_decay=WEIGHT_DECAY
        )
        first = TrainingState(best=self._picked(self.plain), best_epoch=0)
        self.state = self.checkpoint.load(self.encoder.tuned, self.optimizer) or first

    def to_the_end(self) -> None:
        with progress.stage("tune language model", self.config.steps) as stage:
            stage.done = self.state.step
            while not self._over():
                started = time.monotonic()
                loss = self._step(self.state.step)
                if not math.isfinite(loss):
                    self._check(loss)
                self.state.step += 1
                self.state.seconds += time.monotonic() - started
                stage.advance(1, loss=round(loss, 4))
                if self.state.step % self.config.judge_steps == 0 or self._at_the_limit():
                    self._judge()
                elif self.state.step % CHECKPOINT_STEPS == 0:
                    self._check(loss)
                    self.checkpoint.save(self.encoder.tuned, self.optimizer, self.state)

    def _check(self, *losses: float) -> None:
        rate = self.config.learning_rate
        check_converging("language model", "training.text.learning_rate", rate, losses, self.encoder.tuned.parameters())

    def _over(self) -> bool:
        return self._at_the_limit() or self.state.epochs_without_gain >= self.config.patience

    def _at_the_limit(self) -> bool:
        return self.state.step >= self.config.steps or self.state.seconds >= self.config.minutes * 60

    def _step(self, number: int) -> float:
        # Chance of a step's own: a run that goes on needs no more than the step's number.
        chance = np.random.SeedSequence([self.seed, number])
        torch.manual_seed(int(chance.generate_state(1)[0]))
        left, right = self.pairs.draw(self.config.batch, np.random.default_rng(chance))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * _schedule(number, self.config.steps)
        self.encoder.tuned.train()
        loss = self._loss(left, right)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.encoder.tuned.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, left: Rows, right: Rows) -> Tensor:
        """Each text of a pair asked for the other."""
        rows, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        asked = torch.from_numpy(place).to(self.device)
        answer = torch.from_numpy(np.roll(place, len(left))).to(self.device)
        inclusion = torch.from_numpy(self.pairs.log_inclusion(rows, len(left))).to(self.device)
        with self._precision():
            vectors = self.reader.vectors(rows)
        return contrastive_loss(vectors.float(), asked, answer, inclusion, self.config.temperature)

    def _judge(self) -> None:
        self._check()
        started, state = time.monotonic(), self.state
        recalls = self._recalls()
        value = self._picked(recalls)
        if value > state.best:
            state.best, state.best_epoch, state.epochs_without_gain = value, state.step, 0
            tensors = self.encoder.tuned.state_dict()
            state.best_weights = {name: tensor.cpu().clone() for name, tensor in tensors.items()}
        else:
            state.epochs_without_gain += 1
        state.seconds += time.monotonic() - started
        self.checkpoint.save(self.encoder.tuned, self.optimizer, state)
        progress.note(f"step {state.step}: recall@10 of unseen items' neighbours {value:.4f}")

    def _recalls(self) -> Floats:
        """Of all texts that were held out, the picking half first."""
        with progress.stage("judge language model", len(self.judge.ranked)) as stage, self._precision():
            vectors = self.reader.frozen_vectors(self.judge.ranked, stage)
        return self.judge.recalls(vectors.cpu().numpy())

    def _picked(self, recalls: Floats) -> float:
        return float(recalls[: len(self.held.picking)].mean())

    def _precision(self) -> Any:
        cuda = self.device.type == "cuda"
        return torch.autocast("cuda", dtype=torch.bfloat16) if cuda else nullcontext()

    def finished(self) -> tuple[dict[str, Any], TextTuningReport]:
        """The changed tensors of the best state, where the judging half finds it better beyond chance."""
        tuned = self.plain
        if self.state.best_weights:
            self.encoder.tuned.load_state_dict(self.state.best_weights)
            tuned = self._recalls()
        gain = (tuned - self.plain)[len(self.held.picking) :]
        kept = bool(self.state.best_weights) and surely_positive(gain)
        judged = slice(len(self.held.picking), None)
        report = TextTuningReport(
            kept=kept,
            steps=self.state.step,
            best_step=max(0, self.state.best_epoch),
            plain_recall=float(self.plain[judged].mean()) if self.possible else 0.0,
            tuned_recall=float(tuned[judged].mean()) if self.possible else 0.0,
            held_out=len(self.held.rows),
            texts=self.texts,
            pairs=len(self.pairs),
            parameters=sum(parameter.numel() for parameter in self.encoder.tuned.parameters()),
            device=self.device.type,
        )
        return self._changed() if kept else {}, report

    def _changed(self) -> dict[str, Any]:
        """Tensors that differ from the published ones, by their names in the whole model."""
        names = {id(tensor): name for name, tensor in self.encoder.model.state_dict(keep_vars=True).items()}
        tensors = self.encoder.tuned.state_dict(keep_vars=True)
        return {
            names[id(tensor)]: tensor.detach().cpu().numpy()
            for name, tensor in tensors.items()
            if not torch.equal(tensor.detach().cpu(), self.published[name])
        }


def _schedule(step: int, steps: int) -> float:
    """Warm-up to 1, then straight down to 0."""
    return min(1.0, (step + 1) / max(1, int(steps * WARM_UP))) * (1 - step / steps)
