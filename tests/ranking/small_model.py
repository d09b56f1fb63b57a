"""An interest ranker with random weights, and requests to put to it: nothing is trained for these tests."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from liverank.config.training import InterestConfig
from liverank.ranking.data import Catalogue
from liverank.ranking.interest import InterestRanker
from liverank.ranking.interest_model import InterestModel
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.ranking.text_features import TextFeatures
from tests.ranking.test_count import catalogue_of

NOW = 1.7e9


class NoEncoder:
    """Texts that come with requests are all alike."""

    def encode(self, texts):
        return np.ones((len(texts), 6), np.float32)

    encode_remembered = encode


def small_catalogue(items=40) -> Catalogue:
    draw = np.random.default_rng(2)
    catalogue = catalogue_of(*(f"thing {at} of kind {at % 5}" for at in range(items)))
    catalogue = catalogue.with_embeddings(draw.standard_normal((items, 6)).astype(np.float32))
    return dataclasses.replace(catalogue, train_events=np.arange(items) // 2)


def small_ranker(block="gated", layers=2, seed=0, dimension=16) -> InterestRanker:
    torch.manual_seed(seed)
    catalogue = small_catalogue()
    config = InterestConfig(dimension=dimension, layers=layers, heads=2, history_length=8, block=block)
    text = TextFeatures.fit(catalogue.texts, catalogue.embeddings, 4, 0)
    met = torch.from_numpy(catalogue.train_events)
    model = InterestModel(met, 2, 6 + text.columns, config)
    model.standardise(torch.from_numpy(text.transform(catalogue.texts, catalogue.embeddings)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return InterestRanker(catalogue, model, ["click", "buy"], NoEncoder(), text)


def requests(count=20) -> list[Request]:
    """Histories of many lengths, baskets among them, over all items and an unknown one."""
    draw = np.random.default_rng(4)
    names = small_catalogue().item_ids
    made = []
    for number in range(count):
        past = [names[at] for at in draw.integers(0, len(names), number)]
        times = (NOW - 1e5 + np.sort(draw.integers(0, 30, number)) * 1000.0).tolist()
        types = [("click", "buy", "shrug")[at] for at in draw.integers(0, 3, number)]
        listed = Candidates([*names, "new"], texts={"new": "a new thing of kind 3"})
        made.append(Request(History(past, types, times), listed, Context(NOW)))
    return made
