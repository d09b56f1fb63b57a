"""Encoders cut in two: the halves add up to the whole, and what cannot be cut is named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from liverank.progress import Stage
from liverank.ranking.layered_encoder import LayeredEncoder
from liverank.ranking.text_reader import TextReader
from liverank.text import LanguageModel, LanguageModelError, load_model

CPU = torch.device("cpu")
SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def small(name: str, **options):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**{**SMALL, **options})
    return getattr(transformers, f"{name}Model")(config).eval()


@pytest.mark.parametrize("name", ["Bert", "Roberta", "XLMRoberta", "MPNet", "DistilBert", "Camembert"])
@pytest.mark.parametrize("layers", [1, 3, 0])
def test_halves_add_up_to_the_whole(name, layers):
    model = small(name)
    encoder = LayeredEncoder(model, layers, CPU)
    ids, mask = torch.tensor([[5, 6, 7], [8, 9, 2]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    vectors = encoder.upper(encoder.lower(ids, mask), mask)
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = torch.stack([states[0].mean(0), states[1, :2].mean(0)])
    torch.testing.assert_close(vectors, torch.nn.functional.normalize(mean, dim=-1), atol=1e-5, rtol=1e-4)
    vectors.sum().backward()
    trained = {name for name, tensor in model.named_parameters() if tensor.grad is not None}
    assert trained
    blocks = {name.split("layer.")[1].split(".")[0] for name in trained if "layer." in name}
    assert blocks == {str(at) for at in range(3 - (layers or 3), 3)}
    assert any("embeddings" in name for name in trained) == (layers == 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [("Albert", {}), ("Electra", {"embedding_size": 8}), ("T5Encoder", {"d_model": 16, "d_kv": 8, "num_layers": 3})],
)
def test_what_cannot_be_cut_is_named(name, options):
    if name == "T5Encoder":
        model = transformers.T5EncoderModel(transformers.T5Config(**SMALL, **options))
    else:
        model = small(name, **options)
    with pytest.raises(LanguageModelError, match="cannot be cut into layers") as caught:
        LayeredEncoder(model, 1, CPU)
    assert "training.text.layers to 0" in caught.value.hint


def test_more_layers_than_there_are():
    with pytest.raises(LanguageModelError, match=r"has 3 layers; training\.text\.layers is 4"):
        LayeredEncoder(small("Bert"), 4, CPU)


def test_kept_states_and_those_made_anew_give_the_vectors_of_the_language_model():
    texts = ["a lamp", "wool socks for winters in the far north", "x", "desk lamp, green, with a long arm"] * 20
    texts = [f"{text} {at}" for at, text in enumerate(texts)]
    rows, expected = np.asarray([40, 3, 3, 61]), LanguageModel().encode(texts)
    for most_bytes, cached in ((1 << 24, True), (0, False)):
        tokenizer, model = load_model("all-MiniLM-L6-v2", "cpu")
        reader = TextReader(LayeredEncoder(model, 2, CPU), tokenizer, texts, 48, most_bytes)
        assert reader.cached is cached
        tolerance = 2e-3 if cached else 1e-5
        np.testing.assert_allclose(reader.vectors(rows).detach().numpy(), expected[rows], atol=tolerance)
        every = reader.frozen_vectors(np.arange(len(texts)), Stage("read"))
        np.testing.assert_allclose(every.numpy(), expected, atol=tolerance)
