"""The language model behind item texts."""

from __future__ import annotations

import numpy as np
import pytest

from liverank.text import LanguageModel, LanguageModelError, embed_with_cache, model_folder


@pytest.fixture(scope="module")
def minilm() -> LanguageModel:
    return LanguageModel()


def test_unit_vectors_that_know_what_is_alike(minilm):
    lamp, light, socks = minilm.encode(["a red lamp", "crimson table light", "wool socks"])
    np.testing.assert_allclose(np.linalg.norm(lamp), 1, rtol=1e-5)
    assert lamp @ light > lamp @ socks


def test_company_in_a_batch_does_not_matter(minilm):
    texts = ["lamp", "a very much longer text about a lamp that stands in a garden", "台灯", ""]
    together = minilm.encode(texts)
    for at, text in enumerate(texts):
        np.testing.assert_allclose(minilm.encode([text])[0], together[at], atol=1e-5)
    assert not together[3].any()
    np.testing.assert_allclose(minilm.encode_remembered(texts), together, atol=1e-5)
    np.testing.assert_array_equal(minilm.encode_remembered(["lamp"]), minilm.encode_remembered(["lamp"]))


def test_cache_gives_the_same_vectors_and_encodes_new_texts_only(minilm, tmp_path, monkeypatch):
    first = embed_with_cache(minilm, ["lamp", "socks", "lamp"], tmp_path)
    np.testing.assert_array_equal(first[0], first[2])
    encoded = []
    monkeypatch.setattr(minilm, "encode", lambda texts: encoded.append(list(texts)) or LanguageModel().encode(texts))
    again = embed_with_cache(minilm, ["socks", "chair", "lamp"], tmp_path)
    assert encoded == [["chair"]]
    np.testing.assert_array_equal(again[[0, 2]], first[[1, 0]])


def test_a_model_that_cannot_be_had(monkeypatch):
    with pytest.raises(LanguageModelError, match="no-such-org/no-such-model") as caught:
        LanguageModel("no-such-org/no-such-model").encode(["x"])
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    model = LanguageModel(str(tmp_path))
    with pytest.raises(LanguageModelError, match=r"model\.safetensors"):
        model.fingerprint()
    with pytest.raises(LanguageModelError):
        model.encode(["x"])


def test_altered_packaged_weights_are_refused(monkeypatch):
    monkeypatch.setattr("liverank.text.PACKAGED_SHA256", "0" * 64)
    with pytest.raises(LanguageModelError, match="not the published ones"):
        LanguageModel().warm()


def test_a_local_folder_is_taken_as_it_is(minilm):
    folder = model_folder("all-MiniLM-L6-v2")
    np.testing.assert_allclose(LanguageModel(str(folder)).encode(["lamp"]), minilm.encode(["lamp"]), atol=1e-6)
