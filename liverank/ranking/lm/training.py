"""Fine-tuning of the re-ranker on lists: judged on the validation as it goes, resumed exactly where it was killed."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from liverank import progress
from liverank.config.lm import LmConfig
from liverank.config.training import TrainingConfig
from liverank.memory import peak_mib
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.checkpoint import Checkpoint, TrainingState
from liverank.ranking.divergence import check_converging
from liverank.ranking.interest_steps import precision_on
from liverank.ranking.lm.losses import LOSSES, distillation
from liverank.ranking.lm.model import LmScorer, TokenIds
from liverank.ranking.lm.privacy import PrivacyPlan
from liverank.ranking.lm.prompts import Prompts, padded
from liverank.ranking.lm.training_lists import TrainingList, batches, mark
from liverank.ranking.ranks import Ranks
from liverank.ranking.schedule import learning_rate
from liverank.ranking.speed import peak_gpu_mib, wait

CHECKPOINT_STEPS = 50
"""Steps between checkpoints; a judgement is one too."""
MOST_GRADIENT = 1.0
_RATE_KEY = "training.lm.learning_rate"

Judge = Callable[[LmScorer], float]


@dataclass(frozen=True)
class LmReport:
    """How fine-tuning went; plain values."""

    steps: int
    best_step: int
    """0: the model as it was published was the best."""
    judged: list[float]
    """Validation NDCG@10 of the lists as the re-ranker left them, before the first step and after each judgement."""
    losses: list[float]
    """Mean training loss of the steps between judgements."""
    lists: int
    """That were drawn to learn from."""
    seconds: float
    tokens_per_second: float
    """Tokens of histories and candidates, padding not counted, in all processes."""
    parameters: int
    """That were trained."""
    peak_mib: float
    peak_gpu_mib: float
    device: str
    processes: int
    epsilon: float = 0.0
    """Of differential privacy, over all steps made; 0: training was not private."""
    membership_auc: float | None = None
    """How well a list's loss tells that it was trained on, against lists that were kept out; 0.5: not at all."""


class _Trained:
    """What training changes of a scorer, as checkpoints want it: the rest is as it was published."""

    def __init__(self, scorer: LmScorer) -> None:
        self._scorer = scorer

    def state_dict(self) -> dict[str, Tensor]:
        return {name: of.detach() for name, of in self._scorer.trained().items()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self._scorer.load_trained(state_dict)


def train(
    scorer: LmScorer,
    prompts: Prompts,
    catalogue: Catalogue,
    lists: Sequence[TrainingList],
    config: TrainingConfig,
    judge: Judge,
    checkpoint: Checkpoint,
    ranks: Ranks | None = None,
) -> LmReport:
    """Fine-tunes `scorer` in place, from its checkpoint where there is one, and leaves it in its best state.

    Args:
        scorer: on the device that it is trained on.
        prompts: make token ids for it.
        catalogue: of the lists' rows.
        lists: to learn from; the same in all processes.
        config: settings of training.
        judge: the higher the better; asked in the first process only.
        checkpoint: of exactly this training.
        ranks: the processes that train together, joined; None for this one alone.

    Raises:
        BundleError: the checkpoint cannot be used.
        TrainingError: training diverged.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        run = _Run(scorer, prompts, catalogue, lists, config, judge, checkpoint, ranks or Ranks())
        run.to_the_end()
        return run.finished()
    finally:
        torch.set_num_threads(before)


class _Run:
    """One training run, from where its checkpoint stands to its end."""

    def __init__(
        self,
        scorer: LmScorer,
        prompts: Prompts,
        catalogue: Catalogue,
        lists: Sequence[TrainingList],
        config: TrainingConfig,
        judge: Judge,
        checkpoint: Checkpoint,
        ranks: Ranks,
    ) -> None:
        self.config: LmConfig = config.lm
        self.scorer, self.prompts, self.catalogue, self.lists = scorer, prompts, catalogue, lists
        self.judge, self.checkpoint, self.ranks, self.seed = judge, checkpoint, ranks, config.seed
        self.device = next(scorer.parameters()).device
        self.loss = LOSSES[self.config.loss]
        self.parameters = list(scorer.trained().values())
        private, batch = self.config.privacy, self.config.batch
        self.plan = PrivacyPlan.of(private, len(lists), batch, self.config.steps) if private.epsilon else None
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        self.trained = _Trained(scorer)
        self.state = checkpoint.load(self.trained, self.optimizer) or self._first()
        same = hashlib.sha256(repr((self.config, self.seed, mark(lists))).encode()).hexdigest()[:16]
        ranks.agree("training state", f"{same} step {self.state.step}")
        self.tokens, self.clocked = 0, 0.0
        self.recent: list[float] = []

    def _first(self) -> TrainingState:
        """The model as it was published, judged."""
        value = self._value()
        return TrainingState(best=value, best_epoch=0, ndcgs=[value], best_weights=self._weights())

    def _weights(self) -> dict[str, Tensor]:
        return {name: of.detach().cpu().clone() for name, of in self.scorer.trained().items()}

    def to_the_end(self) -> None:
        with progress.stage("fine-tune the re-ranker", self.config.steps) as stage:
            stage.done = self.state.step
            while not self._over():
                started = time.monotonic()
                loss = self.step(self.state.step)
                if not math.isfinite(loss):
                    self._check(loss)
                self.recent.append(loss)
                self.state.step += 1
                self._spend(time.monotonic() - started)
                stage.advance(1, loss=round(loss, 4), tokens_per_second=partial(round, self._speed()))
                if self.state.step % self.config.judge_steps == 0 or self._at_the_limit():
                    self._judge()
                elif self.state.step % CHECKPOINT_STEPS == 0:
                    self._save()

    def _spend(self, seconds: float) -> None:
        """Counts time as the first process measured it, so that all stop at the same step."""
        self.clocked += seconds
        self.state.seconds = self.ranks.told(self.state.seconds + seconds)

    def _over(self) -> bool:
        return self._at_the_limit() or self.state.epochs_without_gain >= self.config.patience

    def _at_the_limit(self) -> bool:
        return self.state.step >= self.config.steps or self.state.seconds >= self.config.minutes * 60

    def step(self, number: int) -> float:
        """Makes one step of the optimiser; the loss, in all processes."""
        # Chance of a step's own: a run that goes on needs no more than the step's number.
        torch.manual_seed(int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]))
        together = self._drawn(number)
        mine = together[self.ranks.share(len(together))]
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate(number, self.config.steps)
        self.scorer.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=self.device)
        if self.plan:
            loss = self._private(mine) / max(1, len(together))
        elif mine:
            loss = self._loss(mine) * (len(mine) / len(together))
            torch.autograd.backward(loss)
        self._share_gradients()
        if not self.plan:
            torch.nn.utils.clip_grad_norm_(self.parameters, MOST_GRADIENT)
        self.optimizer.step()
        wait(self.device)
        return self.ranks.total(float(loss.detach()))

    def _drawn(self, number: int) -> list[TrainingList]:
        if self.plan:
            # Chance that could be guessed from a seed would protect nobody; all processes draw the same lists.
            return self.plan.drawn(self.lists, int(self.ranks.told(float(secrets.randbits(52)))))
        return batches(self.lists, self.config.batch, number)

    def _private(self, lists: Sequence[TrainingList]) -> Tensor:
        """Leaves the clipped, noised gradient of the lists in the parameters; the sum of their losses."""
        assert self.plan is not None
        total = [torch.zeros_like(one) for one in self.parameters]
        losses = torch.zeros((), device=self.device)
        for one in lists:
            loss = self._loss([one])
            torch.autograd.backward(loss)
            self.plan.add(self.parameters, total)
            losses += loss.detach()
        if self.ranks.first:  # the processes' sums are added: noise is wanted once
            total = list(self.plan.noised(total, torch.Generator().manual_seed(secrets.randbits(63))))
        for parameter, gradient in zip(self.parameters, total, strict=True):
            parameter.grad = gradient / self.config.batch
        return losses

    def _loss(self, lists: Sequence[TrainingList]) -> Tensor:
        history, candidates, there = self._tensors(lists)
        with training_precision(self.config, self.device):
            scores = self.scorer(history, candidates)
        scores = scores.float()
        taught = torch.tensor([one.teacher is not None for one in lists], device=self.device)
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1.0
        total = scores.new_zeros(())
        if not taught.all():
            own, known = ~taught, scores + self._told(lists, scores, "known")
            total = total + self.loss(known[own], labels[own], there[own]) * own.sum()
        if taught.any():
            total = (
                total
                + distillation(scores[taught], self._told(lists, scores, "teacher")[taught], there[taught], 1.0)
                * taught.sum()
            )
        return total / len(lists)

    def _told(self, lists: Sequence[TrainingList], scores: Tensor, name: str) -> Tensor:
        """What each list says under this name of its candidates, `[lists, candidates]`, 0 where it says nothing."""
        found = torch.zeros_like(scores)
        for at, one in enumerate(lists):
            told = getattr(one, name)
            if told is not None:
                found[at, : len(one.rows)] = torch.from_numpy(told).to(found)
        return found

    def _tensors(self, lists: Sequence[TrainingList]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
        histories = [self.prompts.history(self.catalogue, one.request) for one in lists]
        texts = [[self.prompts.candidate(self.catalogue.texts[row]) for row in one.rows.tolist()] for one in lists]
        self.tokens += sum(map(len, histories)) + sum(len(text) for of in texts for text in of)
        ids, real = candidate_block(texts, self.prompts.padding)
        there = torch.from_numpy(real.any(-1)).to(self.device)
        return self._pair(*padded(histories, self.prompts.padding)), self._pair(ids, real), there

    def _pair(self, ids: Any, real: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(real).to(self.device)

    def _share_gradients(self) -> None:
        """Sums the processes' gradients: each has weighed its own by its share of the batch."""
        if self.ranks.world == 1:
            return
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)

    def _check(self, *losses: float) -> None:
        check_converging("re-ranker", _RATE_KEY, self.config.learning_rate, losses, self.parameters)

    def _value(self) -> float:
        if not self.ranks.first:
            return self.ranks.told(0.0)
        self.scorer.eval()
        # Not in inference mode: what the untrained layers made of items is kept, and used in training too.
        with torch.no_grad():
            return self.ranks.told(self.judge(self.scorer))

    def _judge(self) -> None:
        self._check()
        started, state = time.monotonic(), self.state
        value = self._value()
        state.ndcgs.append(value)
        state.losses.append(float(np.mean(self.recent)) if self.recent else 0.0)
        self.recent = []
        if value > state.best:
            state.best, state.best_epoch, state.epochs_without_gain = value, state.step, 0
            state.best_weights = self._weights()
        else:
            state.epochs_without_gain += 1
        state.seconds = self.ranks.told(state.seconds + time.monotonic() - started)
        self._save()
        progress.note(f"step {state.step}: loss {state.losses[-1]:.4f}, validation NDCG@10 of the lists {value:.4f}")

    def _save(self) -> None:
        self._check()
        if self.ranks.first:
            self.checkpoint.save(self.trained, self.optimizer, self.state)

    def _speed(self) -> float:
        return self.ranks.world * self.tokens / self.clocked if self.clocked else 0.0

    def finished(self) -> LmReport:
        self.scorer.load_trained(self.state.best_weights)
        self.scorer.eval()
        return LmReport(
            steps=self.state.step,
            best_step=self.state.best_epoch,
            judged=self.state.ndcgs,
            losses=self.state.losses,
            lists=len(self.lists),
            seconds=round(self.state.seconds, 1),
            tokens_per_second=self._speed(),
            parameters=sum(parameter.numel() for parameter in self.parameters),
            peak_mib=peak_mib(),
            peak_gpu_mib=peak_gpu_mib(self.device),
            device=self.device.type,
            processes=self.ranks.world,
            epsilon=self.plan.epsilon(self.state.step) if self.plan else 0.0,
        )


def training_precision(config: LmConfig, device: torch.device) -> Any:
    """A context in which products are as exact as training wants them."""
    if config.precision == "float32":
        return nullcontext()
    if device.type == "cpu" and _multiplies_bfloat16():
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return precision_on(device)


def _multiplies_bfloat16() -> bool:
    found: Mapping[str, Any] = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("amx_bf16"))


def candidate_block(texts: Sequence[Sequence[TokenIds]], padding: int) -> tuple[Any, Any]:
    """Token ids of lists of candidates, and where they are real, `[lists, candidates, tokens]` both."""
    most = max(len(of) for of in texts)
    longest = max(len(text) for of in texts for text in of)
    ids = np.full((len(texts), most, longest), padding, np.int64)
    real = np.zeros(ids.shape, bool)
    for at, of in enumerate(texts):
        for place, text in enumerate(of):
            ids[at, place, : len(text)], real[at, place, : len(text)] = text, True
    return ids, real
