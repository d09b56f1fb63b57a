"""Bundles: verified at load, the same for the same inputs, open to new items."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest

from liverank.errors import BundleError, DataError
from liverank.events import Item
from liverank.ranking.bundle import bundle_hash, load_bundle, verify
from liverank.ranking.fit import fit
from liverank.ranking.protocol import Candidates, Context, Request, score
from tests.ranking.conftest import SMALL
from tests.ranking.contract import NOW, history_of


@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copytree(fitted[0], tmp_path / "bundle")


def test_manifest_tells_where_it_came_from(fitted, bundle):
    manifest = bundle.manifest
    assert manifest["format"] == 2
    assert manifest["data_hash"]
    assert manifest["config"] == SMALL.model_dump(mode="json")
    assert bundle.hash == fitted[1].bundle_hash
    suffixes = {path.suffix for path in fitted[0].rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert set(bundle.rankers) == {"count", "popularity", "zero-shot", "linear", "interest", "features", "blend"}


def test_same_inputs_same_bundle(features, fitted, tmp_path):
    assert fit(features, tmp_path / "b", SMALL, tmp_path / "c").bundle_hash == fitted[1].bundle_hash


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no model bundle"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "format None"),
        (lambda folder: (folder / "count" / "arrays.safetensors").unlink(), "lacks count/arrays.safetensors"),
        (lambda folder: truncate(folder / "interest" / "arrays.safetensors"), "altered or truncated"),
        (lambda folder: (folder / "blend" / "settings.json").write_text("{}"), "altered or truncated"),
        (lambda folder: (folder / "code.pkl").write_bytes(b"x"), "does not list"),
        (lambda folder: rewrite(folder, format=99), "format 99"),
        (lambda folder: rewrite(folder, files={"../../etc/passwd": "0"}), "outside it"),
        (lambda folder: rewrite(folder, config={}), "does not hold"),
    ],
)
def test_damaged_bundles_are_refused(copy, damage, says):
    damage(copy)
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(copy)
    assert caught.value.hint


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_absent_bundle(tmp_path):
    with pytest.raises(BundleError, match="no model bundle"):
        verify(tmp_path / "nothing")


def test_hash_ignores_the_time_of_making(bundle):
    assert bundle_hash(bundle.manifest | {"created_at": "another day"}) == bundle.hash


def test_new_items_are_rankable_at_once_and_old_scores_stay(fitted):
    bundle = load_bundle(fitted[0])
    ids = list(bundle.catalogue.item_ids)
    request = Request(history_of(ids[:5]), Candidates(ids[:20]), Context(NOW))
    before = {name: ranker.score_batch([request])[0] for name, ranker in bundle.rankers.items()}
    title = bundle.catalogue.titles[0]
    bundle.add_items([Item(item_id="new", title=title, category=bundle.catalogue.categories[0])])
    for name, ranker in bundle.rankers.items():
        np.testing.assert_allclose(ranker.score_batch([request])[0], before[name], atol=1e-5)
    close, far = score(bundle.rankers["zero-shot"], history_of(ids[:1]), Candidates(["new", "unknown"]), Context(NOW))
    assert close > 0.5 > far
    assert bundle.primary is bundle.rankers["blend"]
    assert bundle.catalogue.index["new"] == len(ids)


def test_what_a_former_bundle_encoded_is_not_encoded_again(fitted, monkeypatch):
    items = [Item(item_id="new", title="A copper kettle"), Item(item_id="newer", title="A brass one")]
    former, plain, bundle = (load_bundle(fitted[0]) for _ in range(3))
    former.add_items(items[:1])
    plain.add_items(items)
    encoded: list[str] = []
    encode = bundle._encoder.encode
    monkeypatch.setattr(bundle._encoder, "encode", lambda texts: encoded.extend(texts) or encode(texts))
    bundle.add_items(items, former)
    assert encoded == ["A brass one"]
    np.testing.assert_allclose(bundle.catalogue.embedded, plain.catalogue.embedded, atol=1e-6)
    monkeypatch.setattr(former._encoder, "fingerprint", lambda: "another model's")
    encoded.clear()
    bundle.add_items([Item(item_id="new", title="A copper kettle, dented")], former)
    assert encoded == ["A copper kettle, dented"]


def test_vectors_of_what_is_at_hand(fitted, monkeypatch):
    bundle = load_bundle(fitted[0])
    known = bundle.catalogue.item_ids[3]
    assert bundle.remember_texts(["a copper kettle"]) == 0
    assert bundle.remember_texts(["a copper kettle", "a brass one"]) == 1
    monkeypatch.setattr(bundle._encoder, "encode", None)
    vectors = bundle.vectors(["told", known, "bare", "unheard"], {"told": "a copper kettle", "unheard": "never met"})
    np.testing.assert_array_equal(vectors[1], bundle.catalogue.embeddings[3])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-4)
    assert not vectors[2:].any()
    assert bundle.catalogue.embeddings[0].any(), "the catalogue's own are untouched"


def test_a_changed_text_is_taken_over(fitted):
    bundle = load_bundle(fitted[0])
    first = bundle.catalogue.item_ids[0]
    old = bundle.catalogue.embeddings[0].copy()
    bundle.add_items([Item(item_id=first, title="an entirely different thing")])
    assert len(bundle.catalogue) == len(load_bundle(fitted[0]).catalogue)
    assert float(bundle.catalogue.embeddings[0] @ old) < 0.9


def test_adding_items_beside_scoring(fitted):
    bundle = load_bundle(fitted[0])
    ids = list(bundle.catalogue.item_ids)
    request = Request(history_of(ids[:5]), Candidates([*ids[:20], "new-0", "new-1"]), Context(NOW))
    problems: list[BaseException] = []

    def rank() -> None:
        try:
            for _ in range(100):
                assert np.isfinite(bundle.primary.score_batch([request])[0]).all()
        except BaseException as problem:  # noqa: BLE001 - handed to the test's thread
            problems.append(problem)

    threads = [threading.Thread(target=rank) for _ in range(2)]
    for thread in threads:
        thread.start()
    for at in range(5):
        bundle.add_items([Item(item_id=f"new-{at}", title=f"thing {at}")])
    for thread in threads:
        thread.join()
    assert not problems
    assert len(bundle.catalogue) == len(ids) + 5


def test_fit_names_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"items\.parquet is missing"):
        fit(tmp_path, tmp_path / "bundle", SMALL, tmp_path / "checkpoints")
