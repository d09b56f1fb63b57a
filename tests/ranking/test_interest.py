"""The interest model: what it may see, that it learns, and that a killed training ends as if it had not been."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from liverank.config.training import InterestConfig, TrainingConfig
from liverank.errors import ConfigError
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.interest import fit_interest
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_model import PADDING_STEP, InterestModel, Window, gap_bucket
from liverank.ranking.protocol import Candidates, Context, History, Request, score
from liverank.ranking.speed import pick_device
from tests.ranking.conftest import SMALL
from tests.ranking.contract import NOW, history_of
from tests.ranking.test_count import catalogue_of, events_of

CONFIG = InterestConfig(dimension=16, layers=2, heads=2, history_length=8)


def model() -> InterestModel:
    torch.manual_seed(0)
    network = InterestModel(torch.ones(20), 1, 6, CONFIG).eval()
    network.standardise(torch.randn(20, 6))
    return network


def states(network: InterestModel, vectors: torch.Tensor, steps: list[int]) -> torch.Tensor:
    none = torch.zeros(1, len(steps), dtype=torch.long)
    return network.encode(vectors, Window(none, none, none, torch.tensor([steps]), none.float()))


def test_later_events_and_padding_change_nothing():
    network, vectors = model(), torch.randn(1, 6, 16)
    before = states(network, vectors, [0, 1, 2, 3, PADDING_STEP, PADDING_STEP])
    vectors[:, 3:] = torch.randn(1, 3, 16)
    after = states(network, vectors, [0, 1, 2, 3, 4, 5])
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_a_basket_is_seen_whole_by_each_of_its_items():
    network, vectors = model(), torch.randn(1, 3, 16)
    before = states(network, vectors, [0, 1, 1])
    vectors[:, 2] = torch.randn(16)
    after = states(network, vectors, [0, 1, 1])
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("block", ["attention", "gated", "hstu", "lstm"])
def test_the_latest_state_alone_is_that_of_all_states(block):
    torch.manual_seed(0)
    config = InterestConfig(dimension=16, layers=2, heads=2, history_length=8, block=block)
    network = InterestModel(torch.ones(20), 1, 6, config).eval()
    vectors, none = torch.randn(2, 4, 16), torch.zeros(2, 4, dtype=torch.long)
    steps = torch.tensor([[0, 1, 1, 2], [0, 1, PADDING_STEP, PADDING_STEP]])
    window, latest = Window(none, none, none, steps, none.float()), torch.tensor([3, 1])
    everything = network.encode(vectors, window)
    torch.testing.assert_close(network.encode_latest(vectors, window, latest), everything[[0, 1], latest])


@pytest.mark.parametrize(("seconds", "bucket"), [(0, 0), (1, 1), (3, 2), (-5, 0), (1e12, 31)])
def test_gap_buckets(seconds, bucket):
    assert gap_bucket(torch.tensor([float(seconds)])).item() == bucket


def test_targets_are_the_liked_items_of_the_next_step_only():
    # User 0 has baskets {0, 1}, {2, 3}, {4}; the event with item 3 is evidence against it. User 1 has one event.
    events = events_of(
        [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 2.0), (0, 3, 2.0), (0, 4, 3.0), (1, 5, 9.0)], [1, 1, 1, -1, 1, 1]
    )
    sequences = Sequences(events, 8)
    batch = sequences.batch(np.arange(len(sequences)))
    asked = [(int(batch.asked[pair]), int(item)) for pair, item in zip(batch.pairs, batch.targets, strict=True)]
    assert asked == [(1, 2), (3, 4)]
    np.testing.assert_allclose(batch.weights, 1)


@pytest.mark.parametrize("length", [2, 5, 8, 50])
def test_every_step_is_asked_once_whatever_the_windows(length):
    events = events_of([(user, at, float(at)) for user in range(4) for at in range(3 + 7 * user)])
    sequences = Sequences(events, length)
    asked = [sequences.batch(np.asarray([window])).asked for window in range(len(sequences))]
    counts = np.bincount(np.concatenate(asked), minlength=len(events))
    last = np.append(events.user[1:] != events.user[:-1], True)
    np.testing.assert_array_equal(counts, np.where(last, 0, 1))


def test_targets_lie_strictly_later_than_everything_in_sight():
    rng = np.random.default_rng(2)
    rows = sorted((int(user), int(item), float(day)) for user, item, day in rng.integers(0, 12, (300, 3)))
    events = events_of(sorted(rows, key=lambda row: (row[0], row[2])))
    sequences = Sequences(events, 6)
    batch = sequences.batch(np.arange(len(sequences)))
    times = {(user, day * 86400.0): set() for user, _, day in rows}
    for user, item, day in rows:
        times[user, day * 86400.0].add(item)
    for pair, target in zip(batch.pairs, batch.targets, strict=True):
        at = batch.asked[pair]
        user, seen = int(events.user[at]), float(events.timestamp[at])
        later = min(time for who, time in times if who == user and time > seen)
        assert int(target) in times[user, later]


def test_batches_cover_each_window_once():
    events = events_of([(user, 0, float(at)) for user in range(30) for at in range(4)])
    sequences = Sequences(events, 8)
    batches = sequences.batches(7, np.random.default_rng(0))
    assert all(len(windows) == 1 for windows in batches)
    batches = sequences.batches(40, np.random.default_rng(0))
    assert max(sequences.events_of(windows) for windows in batches) <= 40
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(len(sequences)))


def test_an_event_changes_the_ranking(bundle):
    ids = list(bundle.catalogue.item_ids)
    ranker, candidates = bundle.rankers["interest"], Candidates(ids)
    before, after = ranker.score_batch(
        [Request(history_of(ids[:3]), candidates, Context(NOW)), Request(history_of(ids[:4]), candidates, Context(NOW))]
    )
    assert np.abs(before - after).max() > 1e-3


FIT = """
import sys
from pathlib import Path
from liverank.config.training import TrainingConfig
from liverank.ranking.fit import fit
features, out, checkpoints, config = sys.argv[1:]
fit(Path(features), Path(out), TrainingConfig.model_validate_json(config), Path(checkpoints))
"""


def start_fit(features: Path, out: Path, checkpoints: Path) -> subprocess.Popen:
    arguments = [str(features), str(out), str(checkpoints), SMALL.model_dump_json()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", FIT, *arguments], env=environment, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_it_ends_as_if_it_had_not_been(features, fitted, tmp_path):
    process = start_fit(features, tmp_path / "bundle", tmp_path / "checkpoints")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "checkpoints").glob("interest-*.safetensors")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "bundle").exists()
    again = start_fit(features, tmp_path / "bundle", tmp_path / "checkpoints")
    said = again.communicate(timeout=200)[1]
    assert again.returncode == 0, said
    assert "training goes on from epoch" in said
    for name in ("interest", "blend", "count"):
        ours, theirs = (folder / name / "arrays.safetensors" for folder in (tmp_path / "bundle", fitted[0]))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"training\.device is cuda"):
        pick_device("cuda")
    assert pick_device("auto").type == "cpu"


@pytest.mark.parametrize(
    "options",
    [
        {"full_softmax_items": 5, "negatives": 8},
        {"block": "attention"},
        {"block": "gated"},
        {"block": "hstu"},
        {"block": "lstm"},
        {"accumulate": 3, "gradient_checkpointing": True},
    ],
    ids=str,
)
def test_it_learns_what_follows_what(tmp_path, options):
    """Items come in a fixed circle of twelve: whatever the network and the softmax the next one must come first."""
    events = events_of([(user, (user + at) % 12, float(at)) for user in range(60) for at in range(10)])
    catalogue = catalogue_of(*(f"t{at}" for at in range(12))).with_embeddings(np.eye(12, dtype=np.float32))
    catalogue = dataclasses.replace(catalogue, train_events=np.full(12, 50))
    sizes = {"dimension": 16, "layers": 1, "history_length": 10, "batch_events": 80, "epochs": 12, "dropout": 0.1}
    config = InterestConfig.model_validate({**sizes, "learning_rate": 0.01, **options})
    settings = TrainingConfig(threads=1, interest=config)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
    ranker, report = fit_interest(catalogue, events, settings, None, None, checkpoint)
    assert report.epochs == 12
    assert 0 < report.flop_utilisation < 1
    history = History(["i3", "i4", "i5"], ["click"] * 3, [0.0, 86400.0, 2 * 86400.0])
    scores = score(ranker, history, Candidates(catalogue.item_ids), Context(3 * 86400.0))
    assert int(scores.argmax()) == 6
