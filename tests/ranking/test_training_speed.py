"""What makes training fast or small changes nothing else, and what is said of its speed is so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from liverank import progress
from liverank.config.training import InterestConfig
from liverank.ranking.batch_feed import BatchFeed
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_loss import InterestLoss
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.interest_training import train
from liverank.ranking.ranks import Ranks
from liverank.ranking.softmax_loss import softmax_loss
from tests.ranking.ranks_world import config_of, world
from tests.ranking.test_count import events_of

CPU = torch.device("cpu")
BLOCKS = ["attention", "gated", "hstu", "lstm"]


def loss_on(config: InterestConfig, events, text_width: int = 12) -> tuple[InterestLoss, Sequences]:
    torch.manual_seed(3)
    items = int(events.item.max()) + 1
    features = torch.randn(items, text_width)
    model = InterestModel(torch.from_numpy(np.bincount(events.item)), 1, text_width, config)
    model.standardise(features)
    sequences = Sequences(events, config.history_length)
    return InterestLoss(model, events, sequences, features, config), sequences


def gradients(loss: InterestLoss, parts, asks: int) -> dict[str, torch.Tensor]:
    loss.zero_grad()
    for part in parts:
        (loss(part.batch) * (len(part.batch.asks) / asks)).backward()
    return {name: parameter.grad.clone() for name, parameter in loss.named_parameters()}


def still(**more) -> InterestConfig:
    return config_of(**more).interest


@pytest.mark.parametrize("block", BLOCKS)
def test_a_batch_in_parts_and_recomputed_layers_have_the_gradients_of_the_whole(block, monkeypatch):
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)
    events = world()[1]
    whole, sequences = loss_on(still(block=block), events)
    windows = np.arange(len(sequences))
    asks = sequences.questions_of(windows)
    expected = gradients(whole, BatchFeed(sequences, Ranks(), 1, CPU).parts(windows), asks)
    parts = BatchFeed(sequences, Ranks(), 4, CPU).parts(windows)
    assert len(parts) == 4
    assert sum(len(part.batch.asks) for part in parts) == asks
    for other in (whole, loss_on(still(block=block, gradient_checkpointing=True), events)[0]):
        for name, gradient in gradients(other, parts, asks).items():
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", ["attention", "gated", "hstu"])
def test_operations_are_those_that_torch_counts(block):
    """Windows of equal length: what padding costs is no work of the model's."""
    config = InterestConfig(dimension=32, layers=2, history_length=40, word_columns=0, block=block, text_hidden=64)
    events = events_of([(user, (user * 7 + at * at) % 150, float(at)) for user in range(12) for at in range(40)])
    loss, sequences = loss_on(config, events, 48)
    (part,) = BatchFeed(sequences, Ranks(), 1, CPU).parts(np.arange(len(sequences)))
    counter = FlopCounterMode(display=False)
    # The fused attention of a CPU has no entry in torch's count, the plain one is matrix products.
    with sdpa_kernel(SDPBackend.MATH), counter:
        loss(part.batch).backward()
    ours = loss.model.flops(part.steps, part.attended, len(part.batch.asks), loss.items)
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.1)


@pytest.mark.parametrize("queried", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offered", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cast", [False, True])
def test_the_softmax_takes_any_mixture_of_precisions(queried, offered, cast):
    torch.manual_seed(4)
    exact = [torch.randn(300, 8), torch.randn(40, 8)]
    pairs, targets, weights = torch.arange(300), torch.randint(40, (300,)), torch.ones(300)
    leaves = [tensor.clone().requires_grad_() for tensor in exact]
    expected = torch.autograd.grad(softmax_loss(*leaves, pairs, targets, weights, 0.1), leaves)
    given = [tensor.to(dtype).requires_grad_() for tensor, dtype in zip(exact, (queried, offered), strict=True)]
    with torch.autocast("cpu", torch.bfloat16, enabled=cast):
        loss = softmax_loss(*given, pairs, targets, weights, 0.1)
    assert loss.dtype == torch.float32
    found = torch.autograd.grad(loss, given)
    for mine, theirs, leaf in zip(found, expected, given, strict=True):
        assert mine.dtype == leaf.dtype
        torch.testing.assert_close(mine.float(), theirs, rtol=0.1, atol=float(theirs.abs().max()) / 20)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("options", [{}, {"full_softmax_items": 4, "negatives": 8, "gradient_checkpointing": True}])
def test_bfloat16_points_where_float32_points(block, options, monkeypatch):
    """The precision of a GPU, on a CPU: every layer and the loss take it, and the gradients agree in direction."""
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)
    loss, sequences = loss_on(still(block=block, **options), world()[1])
    windows = np.arange(len(sequences))
    parts = BatchFeed(sequences, Ranks(), 1, CPU).parts(windows)
    asks = sequences.questions_of(windows)
    torch.manual_seed(5)
    exact = torch.cat([gradient.flatten() for gradient in gradients(loss, parts, asks).values()])
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = torch.cat([gradient.flatten() for gradient in gradients(loss, parts, asks).values()])
    assert coarse.dtype == torch.float32
    assert torch.isfinite(coarse).all()
    assert float(torch.nn.functional.cosine_similarity(exact, coarse, dim=0)) > 0.98


def test_nothing_asked_is_a_loss_of_zero_with_every_gradient():
    loss, _ = loss_on(still(), world()[1])
    value = loss(None)
    value.backward()
    assert float(value) == 0
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


def test_questions_are_counted_without_making_the_batch():
    for length in (3, 8, 20):
        sequences = Sequences(world()[1], length)
        for windows in (np.arange(len(sequences)), np.asarray([0]), np.arange(1, len(sequences), 2)):
            assert sequences.questions_of(windows) == len(sequences.batch(windows).asks)


def test_the_report_says_what_the_run_took_and_the_log_says_it_too(tmp_path, monkeypatch):
    events: list[tuple[str, dict]] = []
    monkeypatch.setattr(progress, "report", lambda event, **facts: events.append((event, facts)))
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    catalogue, past = world()
    _, report = train(catalogue.embeddings, past, config_of(), None, Checkpoint(tmp_path / "c.safetensors"))
    assert report.events_per_second > 0
    assert 0 < report.flop_utilisation < 1
    assert 0 <= report.waiting <= 1
    assert report.peak_mib > 50
    assert report.peak_gpu_mib == 0
    assert len(report.losses) == report.epochs == 3
    assert report.losses[-1] < report.losses[0]
    (advance, *_) = [facts for event, facts in events if event == "advance"]
    assert advance["events_per_second"] > 0
    assert advance["loss"] > 0
    notes = [facts["text"] for event, facts in events if event == "note"]
    assert any("events/s" in text and "matrix speed" in text and "MiB" in text for text in notes)


def test_the_numbers_of_a_line_stand_in_a_pods_log():
    line = progress._plain(
        "advance", {"stage": "train", "done": 5.0, "total": 9.0, "loss": 1.5, "events_per_second": 7}
    )
    assert line == "train: 5 of 9, loss 1.5, events per second 7"
