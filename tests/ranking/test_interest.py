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
from liverank.ranking import interest_loss
from liverank.ranking.checkpoint import Checkpoint
from liverank.ranking.data import Catalogue, EncodedRequest, Events, encode
from liverank.ranking.interest import fit_interest
from liverank.ranking.interest_data import Sequences
from liverank.ranking.interest_loss import InterestLoss, TensorBatch
from liverank.ranking.interest_model import InterestModel, Window, _means, gap_bucket
from liverank.ranking.protocol import Candidates, Context, History, Request, score
from liverank.ranking.speed import pick_device
from tests.ranking.conftest import SMALL
from tests.ranking.contract import NOW, history_of
from tests.ranking.small_model import small_ranker
from tests.ranking.test_count import catalogue_of, events_of

CONFIG = InterestConfig(dimension=16, layers=2, heads=2, history_length=8)


def model() -> InterestModel:
    torch.manual_seed(0)
    network = InterestModel(torch.ones(20), 1, 6, CONFIG).eval()
    network.standardise(torch.randn(20, 6))
    return network


def window(steps: list[int]) -> Window:
    """One window; `steps` is the step of each event."""
    places = torch.tensor(steps)
    none, count = torch.zeros(len(steps), dtype=torch.long), max(steps) + 1
    return Window(torch.zeros(1, count, dtype=torch.long), torch.zeros(1, count), places, none, none)


def test_later_steps_and_padding_change_nothing():
    network, vectors = model(), torch.randn(6, 16)
    before = network.encode(vectors[:3], window([0, 1, 2]))
    vectors[3:] = torch.randn(3, 16)
    after = network.encode(vectors, window([0, 1, 2, 3, 4, 5]))
    torch.testing.assert_close(before, after[:, :3])
    vectors[2] = torch.randn(16)
    changed = network.encode(vectors, window([0, 1, 2, 3, 4, 5]))
    torch.testing.assert_close(changed[:, :2], after[:, :2])
    assert not torch.allclose(changed[:, 2:], after[:, 2:])


def test_a_basket_is_seen_whole_and_without_order():
    network, vectors = model(), torch.randn(4, 16)
    before = network.encode(vectors, window([0, 1, 1, 1]))
    torch.testing.assert_close(network.encode(vectors[[0, 3, 1, 2]], window([0, 1, 1, 1])), before)
    vectors[2] = torch.randn(16)
    after = network.encode(vectors, window([0, 1, 1, 1]))
    torch.testing.assert_close(before[:, 0], after[:, 0])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_a_step_is_the_mean_of_its_events():
    events = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    means = _means(events, torch.tensor([0, 2, 2, 3]), 5)
    torch.testing.assert_close(means, torch.tensor([[1.0, 2.0], [0, 0], [4.0, 5.0], [7.0, 8.0], [0, 0]]))
    alone = _means(events, torch.tensor([0, 2, 3, 4]), 5)
    torch.testing.assert_close(alone, torch.tensor([[1.0, 2.0], [0, 0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]))


@pytest.mark.parametrize("block", ["attention", "gated", "hstu", "lstm"])
def test_the_latest_state_alone_is_that_of_all_states(block):
    torch.manual_seed(0)
    config = InterestConfig(dimension=16, layers=2, heads=2, history_length=8, block=block)
    network = InterestModel(torch.ones(20), 1, 6, config).eval()
    # Two windows of three places: events at 0, 1 (two), 2 and at 3, 4; the last place is padding.
    vectors, none = torch.randn(6, 16), torch.zeros(6, dtype=torch.long)
    places = torch.tensor([0, 1, 1, 2, 3, 4])
    both = Window(torch.zeros(2, 3, dtype=torch.long), torch.rand(2, 3) * 100, places, none, none)
    latest = torch.tensor([2, 1])
    everything = network.encode(vectors, both)
    torch.testing.assert_close(network.encode_latest(vectors, both, latest), everything[[0, 1], latest])


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
    assert asked == [(0, 2), (1, 4)]
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
        at = sequences.begins[batch.asked[pair]]
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
    assert sequences.padding(40) == 0
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
    sizes = {"dimension": 16, "layers": 1, "history_length": 10, "batch_steps": 80, "epochs": 12, "dropout": 0.1}
    config = InterestConfig.model_validate({**sizes, "learning_rate": 0.01, **options})
    settings = TrainingConfig(threads=1, interest=config)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
    ranker, report = fit_interest(catalogue, events, settings, None, None, checkpoint)
    assert report.epochs == 12
    assert 0 < report.flop_utilisation < 1
    history = History(["i3", "i4", "i5"], ["click"] * 3, [0.0, 86400.0, 2 * 86400.0])
    scores = score(ranker, history, Candidates(catalogue.item_ids), Context(3 * 86400.0))
    assert int(scores.argmax()) == 6


@pytest.mark.parametrize("block", ["attention", "gated", "hstu", "lstm"])
def test_serving_reads_what_training_read(monkeypatch, tmp_path, block):
    """The query of each step in training is the query of a request with the same history at the time of the next."""
    rng = np.random.default_rng(4)
    rows = sorted((int(user), int(at // 2), float(at) ** 1.7) for user in range(5) for at in rng.integers(0, 20, 14))
    rows.sort(key=lambda row: (row[0], row[2]))
    events = events_of(rows, rng.choice([1.0, -1.0], len(rows), p=[0.9, 0.1]).tolist())
    catalogue = catalogue_of(*(f"text {at}" for at in range(10)))
    catalogue = catalogue.with_embeddings(rng.standard_normal((10, 6)).astype(np.float32))
    sizes = {"dimension": 16, "layers": 2, "history_length": 20, "epochs": 2, "block": block, "learning_rate": 0.02}
    settings = TrainingConfig(interest=InterestConfig.model_validate(sizes))
    ranker, _ = fit_interest(catalogue, events, settings, None, None, Checkpoint(tmp_path / "c.safetensors"))
    seen = []
    monkeypatch.setattr(interest_loss, "softmax_loss", lambda queries, *_: seen.append(queries) or queries.sum())
    sequences = Sequences(events, 20)
    features = torch.from_numpy(ranker.text.transform(catalogue.texts, catalogue.embeddings))
    loss = InterestLoss(ranker.model.eval(), events, sequences, features, settings.interest)
    batch = sequences.batch(np.arange(len(sequences)))
    with torch.no_grad():
        loss(TensorBatch.of(batch, torch.device("cpu")))
    requests = [request_before(catalogue, events, sequences, int(step) + 1) for step in batch.asked]
    np.testing.assert_allclose(ranker.queries(requests), seen[0].numpy(), atol=1e-5)


def test_a_catalogue_without_embeddings_is_refused(tmp_path):
    catalogue = catalogue_of("red", "green")
    events = events_of([(0, 0, 1.0), (0, 1, 2.0)])
    with pytest.raises(ValueError, match="no embeddings yet"):
        fit_interest(catalogue, events, TrainingConfig(), None, None, Checkpoint(tmp_path / "c.safetensors"))
    with pytest.raises(ValueError, match="no embeddings yet"):
        small_ranker().on(catalogue, np.asarray([1]))


def request_before(catalogue: Catalogue, events: Events, sequences: Sequences, step: int) -> EncodedRequest:
    end = int(sequences.begins[step])
    start = int(np.searchsorted(events.user, events.user[end]))
    names = [catalogue.item_ids[row] for row in events.item[start:end]]
    types = [events.types[at] for at in events.type[start:end]]
    history = History(names, types, events.timestamp[start:end].tolist())
    return encode(catalogue, Request(history, Candidates(catalogue.item_ids), Context(float(events.timestamp[end]))))
