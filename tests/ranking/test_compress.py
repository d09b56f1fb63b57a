"""Compressed rankers: how near they stay to the original, what they weigh, and that they are bundles like others."""

from __future__ import annotations

import builtins
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from liverank.config.base import Section
from liverank.errors import BundleError
from liverank.events import Item
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.compress import CompressionSettings, agreement, compress, compressed
from liverank.ranking.fit import fit
from liverank.ranking.int8 import expanded, rounded
from liverank.ranking.interest import InterestRanker
from liverank.ranking.onnx_network import OnnxNetwork, _check
from liverank.ranking.protocol import Candidates, Context, Request, ranking
from liverank.ranking.query_network import Reader
from serving.model import FolderSource
from tests.ranking.conftest import SMALL
from tests.ranking.contract import NOW, history_of
from tests.ranking.small_model import NoEncoder, requests, small_catalogue, small_ranker

EXACT = 1e-4
"""How far a score of an exported network may lie from the original's."""
ROUNDED, FARTHEST = 0.06, 0.3
"""Root mean square by which scores of a quantised one may, and the most, as shares of the spread of scores."""


def settings(**given) -> CompressionSettings:
    return CompressionSettings.model_validate(given)


@pytest.fixture(scope="module")
def original() -> InterestRanker:
    return small_ranker()


@pytest.fixture(scope="module")
def in_onnx(original) -> InterestRanker:
    return compressed(original, settings(network="onnx"))


@pytest.fixture(scope="module", params=["float32", "int8", "onnx", "onnx-int8"])
def network(request, original) -> InterestRanker:
    if request.param == "onnx":
        return request.getfixturevalue("in_onnx")
    return compressed(original, settings(network=request.param))


def scores(ranker) -> np.ndarray:
    return np.stack(ranker.score_batch(requests()))


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    gaps = (ours - theirs) / theirs.std()
    assert np.sqrt((gaps**2).mean()) < ROUNDED
    assert np.abs(gaps).max() < FARTHEST


def test_networks_score_as_the_original(original, network):
    ours, theirs = scores(network), scores(original)
    exact = network.network.kind in ("float32", "onnx")
    if exact:
        np.testing.assert_allclose(ours, theirs, atol=EXACT)
        tops = [(ranking(a)[:10], ranking(b)[:10]) for a, b in zip(ours[1:], theirs[1:], strict=True)]
        assert all(set(a.tolist()) == set(b.tolist()) for a, b in tops)
    else:
        assert_near(ours, theirs)
        assert agreement(original, network, original.catalogue) > 0.9


def test_networks_score_alone_as_together(network):
    together = network.score_batch(requests())
    for request, values in zip(requests(), together, strict=True):
        np.testing.assert_allclose(network.score_batch([request])[0], values, atol=1e-5)


def test_networks_are_deterministic_and_saved_whole(network, tmp_path):
    network.save(tmp_path)
    again = InterestRanker.load(tmp_path, small_catalogue(), NoEncoder())
    np.testing.assert_array_equal(scores(network), scores(network))
    np.testing.assert_array_equal(scores(again), scores(network))
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}
    assert again.network.kind == network.network.kind


@pytest.mark.parametrize("block", ["attention", "hstu", "lstm"])
@pytest.mark.parametrize("kind", ["int8", "onnx"])
def test_every_kind_of_layer(block, kind):
    ranker = small_ranker(block, layers=1)
    made = compressed(ranker, settings(network=kind))
    if kind == "onnx":
        np.testing.assert_allclose(scores(made), scores(ranker), atol=EXACT)
    else:
        assert_near(scores(made), scores(ranker))


@pytest.mark.parametrize(
    ("given", "tolerance", "size"),
    [
        ({"vectors": "float16"}, 0.005, 0.5),
        ({"vectors": "int8"}, 0.1, 0.32),
        ({"rank": 16, "vectors": "int8"}, 0.1, 0.32),
        ({"rank": 8}, 3.0, 0.71),
    ],
    ids=str,
)
def test_smaller_vectors_score_nearly_the_same(original, given, tolerance, size):
    made, theirs = compressed(original, settings(**given)), scores(original)
    np.testing.assert_allclose(scores(made), theirs, atol=tolerance * theirs.std())
    assert made.table.nbytes <= size * original.table.nbytes


@pytest.mark.parametrize("given", [{"network": "int8"}, {"vectors": "int8"}, {"rank": 6}], ids=str)
def test_pruned_items_score_the_same_when_they_are_made_again(original, given, tmp_path):
    made = compressed(original, settings(prune_items=0.5, **given))
    made.save(tmp_path)
    again = InterestRanker.load(tmp_path, small_catalogue(), NoEncoder())
    np.testing.assert_array_equal(scores(again), scores(made))


def test_pruned_items_are_their_texts(original, tmp_path):
    made = compressed(original, settings(prune_items=0.5))
    met = original.catalogue.train_events
    pruned = made.pruned
    assert len(pruned) == (met == 0).sum() + round(0.5 * (met > 0).sum())
    assert met[pruned].max() <= np.delete(met, pruned).min()
    np.testing.assert_allclose(made.table.rows(pruned), original.text_vectors_of(pruned), atol=1e-6)
    kept = np.setdiff1d(np.arange(len(met)), pruned)
    np.testing.assert_array_equal(made.table.rows(kept), original.table.rows(kept))
    made.save(tmp_path)
    again = InterestRanker.load(tmp_path, small_catalogue(), NoEncoder())
    np.testing.assert_array_equal(scores(again), scores(made))
    assert np.array_equal(again.pruned, pruned)


def test_a_changed_text_keeps_what_was_learned_of_the_id(original):
    """The learned part is no longer in the file; it is what the vector has beside the old text's."""
    made = compressed(original, settings())
    assert made.model.ids.num_embeddings == 0
    changed, rows = original.catalogue.with_items(
        [Item(item_id="i39", title="another text"), Item(item_id="n", title="x")]
    )
    changed.embeddings[rows] = NoEncoder().encode(rows)
    learned = original.table.rows(np.asarray([39])) - original.text_vectors_of(np.asarray([39]))
    moved = made.on(changed, rows)
    np.testing.assert_allclose(
        moved.table.rows(np.asarray([39])), moved.text_vectors_of(np.asarray([39])) + learned, atol=1e-5
    )
    new = np.asarray([40])
    np.testing.assert_allclose(moved.table.rows(new), moved.text_vectors_of(new), atol=1e-6)
    np.testing.assert_array_equal(moved.table.rows(np.arange(39)), made.table.rows(np.arange(39)))


@pytest.mark.parametrize("vectors", ["float32", "int8"])
def test_texts_that_change_many_times_leave_what_one_change_leaves(original, vectors):
    rows, known = np.arange(10), original.catalogue.embeddings

    def with_texts(ranker, seed):
        drawn = np.random.default_rng(seed).standard_normal((len(rows), known.shape[1]))
        return ranker.on(ranker.catalogue.with_embeddings(np.concatenate([drawn, known[len(rows) :]])), rows)

    moved = compressed(original, settings(vectors=vectors))
    for seed in range(40):
        moved = with_texts(moved, seed)
    once = with_texts(compressed(original, settings(vectors=vectors)), 39)
    np.testing.assert_allclose(moved.table.rows(rows), once.table.rows(rows), atol=1e-6)


def test_weights_in_int8_are_off_by_half_a_step_of_their_row():
    torch.manual_seed(0)
    weights = {"matrix": torch.randn(5, 7) * torch.logspace(-3, 1, 5).unsqueeze(1), "bias": torch.randn(5)}
    weights |= {"none": torch.zeros(0, 3), "zero": torch.zeros(2, 3)}
    kept = rounded(weights)
    assert kept["matrix"].dtype == torch.int8
    read = expanded(kept)
    assert list(read) == list(weights)
    step = weights["matrix"].abs().amax(1, keepdim=True) / 127
    assert ((read["matrix"] - weights["matrix"]).abs() <= 0.5001 * step).all()
    for name in ("bias", "none", "zero"):
        torch.testing.assert_close(read[name], weights[name], rtol=0, atol=0)


def test_a_graph_takes_any_number_of_requests_and_steps(original, in_onnx):
    assert not in_onnx.network.alone
    for one in requests():
        np.testing.assert_allclose(in_onnx.score_batch([one])[0], original.score_batch([one])[0], atol=EXACT)


def test_a_graph_that_says_something_else_is_refused(original, in_onnx):
    graph = in_onnx.network.arrays()["graph"].tobytes()
    _check(Reader(original.model), graph)
    with pytest.raises(BundleError, match="queries lie"):
        _check(Reader(small_ranker(seed=1).model), graph)


def test_without_onnxruntime_the_error_says_what_to_install(original, in_onnx, monkeypatch, tmp_path):
    in_onnx.save(tmp_path)
    really = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("onnxruntime"):
            raise ImportError(f"No module named {name!r}", name=name)
        return really(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    for action in (
        lambda: InterestRanker.load(tmp_path, small_catalogue(), NoEncoder()),
        lambda: compressed(original, settings(network="onnx")),
    ):
        with pytest.raises(BundleError, match=r"liverank\[onnx\]") as caught:
            action()
        assert caught.value.exit_code == 2


def test_a_damaged_graph_is_refused(original):
    with pytest.raises(BundleError, match="cannot read the graph"):
        OnnxNetwork(original.model, b"nothing")


def test_settings_are_closed():
    assert issubclass(CompressionSettings, Section)
    assert all(field.description for field in CompressionSettings.model_fields.values())


# Whole bundles.


@pytest.fixture(scope="module", params=["int8", "onnx-int8"])
def small_bundle(request, fitted, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("compressed") / "bundle"
    compress(fitted[0], out, settings(network=request.param, vectors="int8", prune_items=0.2))
    return out


def test_a_compressed_bundle_ranks_as_the_original(fitted, bundle, small_bundle):
    small = load_bundle(small_bundle)
    ids = list(bundle.catalogue.item_ids)
    asked = [Request(history_of(ids[at : at + 6]), Candidates(ids), Context(NOW)) for at in range(20)]
    for name in ("count", "popularity", "zero-shot", "linear", "features"):
        for ours, theirs in zip(
            small.rankers[name].score_batch(asked), bundle.rankers[name].score_batch(asked), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    firsts = [
        len(set(ranking(a)[:10].tolist()) & set(ranking(b)[:10].tolist()))
        for a, b in zip(small.primary.score_batch(asked), bundle.primary.score_batch(asked), strict=True)
    ]
    assert np.mean(firsts) > 8


def test_the_manifest_says_what_was_done_to_what(fitted, small_bundle):
    small, original = load_bundle(small_bundle), load_bundle(fitted[0])
    said = small.manifest["compressed"]
    assert said["from"] == original.hash != small.hash
    assert said["vectors"] == "int8"
    assert said["prune_items"] == 0.2
    for name in ("data_hash", "language_model", "config", "rankers", "validation"):
        assert small.manifest[name] == original.manifest[name]
    folder = fitted[0]
    for path in folder.rglob("*.*"):
        name = path.relative_to(folder)
        if name.parts[0] not in ("interest", "manifest.json"):
            assert (small_bundle / name).read_bytes() == path.read_bytes()


def test_the_interest_ranker_is_smaller(fitted, tmp_path):
    told = compress(fitted[0], tmp_path / "b", settings(network="int8", vectors="int8"))
    assert told.bytes_after < told.bytes_before
    assert told.table_after < 0.4 * told.table_before
    assert told.bundle_hash == load_bundle(tmp_path / "b").hash


def test_the_same_compression_gives_the_same_bundle(fitted, tmp_path):
    given = settings(network="int8", vectors="float16", rank=8)
    assert len({compress(fitted[0], tmp_path / name, given).bundle_hash for name in "ab"}) == 1


def test_a_damaged_compressed_bundle_is_refused(small_bundle, tmp_path):
    copy = shutil.copytree(small_bundle, tmp_path / "bundle")
    path = copy / "interest" / "arrays.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered or truncated"):
        load_bundle(copy)


def test_new_items_can_be_added(small_bundle):
    small = load_bundle(small_bundle)
    ids = list(small.catalogue.item_ids)
    request = Request(history_of(ids[:5]), Candidates(ids[:20]), Context(NOW))
    before = small.rankers["interest"].score_batch([request])[0]
    small.add_items([Item(item_id="new", title="a lamp for the garden")])
    np.testing.assert_allclose(small.rankers["interest"].score_batch([request])[0], before, atol=1e-5)
    values = small.rankers["interest"].score_batch(
        [Request(history_of(ids[:5]), Candidates(["new", ids[0]]), Context(NOW))]
    )[0]
    assert np.isfinite(values).all()


def test_it_is_served_like_any_other(small_bundle):
    model = FolderSource(small_bundle).load()
    model.warm_up()
    assert model.version == load_bundle(small_bundle).hash[:12]
    ids = list(model.bundle.catalogue.item_ids)
    scores = model.bundle.primary.score_batch([Request(history_of(ids[:5]), Candidates(ids), Context(NOW))])[0]
    assert np.isfinite(scores).all()
    assert scores.std() > 0


# The command.

LIVERANK = [sys.executable, "-m", "liverank.cli"]


def liverank(*arguments):
    return subprocess.run([*LIVERANK, *map(str, arguments)], capture_output=True, text=True, timeout=250, check=False)


def test_the_command_writes_a_bundle(fitted, tmp_path):
    answer = liverank(
        "compress", "--bundle", fitted[0], "--out", tmp_path / "c", "--network", "int8", "--vectors", "int8"
    )
    assert answer.returncode == 0, answer.stderr
    assert load_bundle(tmp_path / "c").hash[:12] in answer.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--network", "int4"), "--network: Input should be 'float32', 'int8'"),
        (("--vectors", "int4"), "--vectors: Input should be"),
        (("--prune-items", "1.5"), "--prune-items: Input should be less than or equal to 1"),
        (("--bundle", "nowhere"), "There is no model bundle at nowhere"),
        (("--out", "{fitted}"), "is the bundle itself"),
        (("--out", "{full}"), "is there and is no bundle"),
    ],
)
def test_what_the_user_can_mend_is_one_line(fitted, tmp_path, options, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    given = [option.format(fitted=fitted[0], full=tmp_path / "full") for option in options]
    answer = liverank("compress", "--bundle", fitted[0], "--out", tmp_path / "c", *given)
    assert answer.returncode == 2
    assert said in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "c").exists()
    assert (tmp_path / "full" / "file").read_text() == "x"


def test_a_compressed_bundle_is_not_compressed_again(small_bundle, tmp_path):
    with pytest.raises(BundleError, match="compressed already"):
        compress(small_bundle, tmp_path / "c", settings())


def test_a_bundle_without_an_interest_ranker(features, tmp_path):
    config = SMALL.model_copy(update={"interest": SMALL.interest.model_copy(update={"enabled": False})})
    fit(features, tmp_path / "bundle", config, tmp_path / "checkpoints")
    with pytest.raises(BundleError, match="no interest ranker"):
        compress(tmp_path / "bundle", tmp_path / "c", settings())
