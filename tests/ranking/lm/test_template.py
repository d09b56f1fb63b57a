"""What a language model is told of a user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank.ranking.data import encode
from liverank.ranking.lm.loading import load_scorer
from liverank.ranking.lm.prompts import Prompts, PromptSizes
from liverank.ranking.lm.template import DAY, HOUR, WORDINGS, HistoryTemplate, TitledEvent
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.text import PACKAGED, load_model
from tests.ranking.test_count import catalogue_of

EVENTS = [
    TitledEvent("Atlas", "view", 40 * DAY),
    TitledEvent("Compass", "purchase", 3 * DAY),
    TitledEvent("Tent", "purchase", 2 * DAY),
    TitledEvent("Lamp", "cart", 5 * HOUR),
    TitledEvent("Rope", "wishlist", 60.0),
]


def test_newest_first_under_headings_of_type_and_age():
    assert HistoryTemplate("en").told(EVENTS, {}) == (
        "chose just now: Rope. put in the cart today: Lamp. bought this week: Tent; Compass. viewed earlier: Atlas. "
    )


def test_in_chinese():
    events = [TitledEvent("灯", "view", 20 * DAY), TitledEvent("书", "purchase", 10.0)]
    assert HistoryTemplate("zh").told(events, {"城市": "北京"}) == "城市北京。刚刚购买：书。本月浏览：灯。"


def test_context_has_an_order_of_its_own():
    told = HistoryTemplate("en").context
    assert told({"device": "tv", "city": "Oslo"}) == told({"city": "Oslo", "device": "tv"}) == "city Oslo; device tv. "
    assert told({}) == ""


def test_the_languages_know_the_same_types():
    assert WORDINGS["en"].types.keys() == WORDINGS["zh"].types.keys()


# Tokens.


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(PACKAGED, "cpu")[0]


CATALOGUE = catalogue_of("Red lamp", "Oak desk", "Blue pen", "")


def asked(items, attributes=None, times=None):
    times = times or [1000.0 * at for at in range(len(items))]
    context = Context(1e6, attributes=attributes or {})
    return encode(CATALOGUE, Request(History(items, ["purchase"] * len(items), times), Candidates(["i0"]), context))


def prompts(tokenizer, **sizes):
    given = {"history_events": 10, "history_tokens": 64, "candidate_tokens": 16, **sizes}
    return Prompts(tokenizer, HistoryTemplate("en"), PromptSizes(**given))


def test_token_ids_are_those_of_the_told_text_without_the_context(tokenizer):
    ids = prompts(tokenizer).history(CATALOGUE, asked(["i0", "i1", "i2"], {"device": "tv"}))
    assert tokenizer.decode(ids) == "[CLS] bought this month : blue pen ; oak desk ; red lamp [SEP]"


def test_the_budget_is_spent_from_the_newest_backwards(tokenizer):
    sizes = {"history_tokens": 11}
    ids = prompts(tokenizer, **sizes).history(CATALOGUE, asked(["i0", "i1", "i2"]))
    assert tokenizer.decode(ids) == "[CLS] bought this month : blue pen ; oak desk [SEP]"[: -len(" [SEP]")] + " [SEP]"
    assert len(ids) <= 11
    events = prompts(tokenizer, history_events=1).history(CATALOGUE, asked(["i0", "i1", "i2"]))
    assert tokenizer.decode(events) == "[CLS] bought this month : blue pen [SEP]"


def test_an_empty_history_is_its_special_tokens(tokenizer):
    assert tokenizer.decode(prompts(tokenizer).history(CATALOGUE, asked([]))) == "[CLS] [SEP]"


def test_candidates_are_cut_at_their_budget(tokenizer):
    short = prompts(tokenizer, candidate_tokens=4).candidate("one two three four five six")
    assert tokenizer.decode(short) == "[CLS] one two three four [SEP]"
    np.testing.assert_array_equal(short, prompts(tokenizer, candidate_tokens=4).candidate("one two three four"))


def test_items_without_a_title_are_told_by_their_text(tokenizer):
    shop = replace(CATALOGUE, titles=("", "Oak desk", "Blue pen", ""))
    told = prompts(tokenizer).history(shop, asked(["i0"]))
    assert "red lamp" in tokenizer.decode(told)


def test_more_tokens_than_a_model_has_places_for_are_refused():
    import torch

    from liverank.config.lm import LmConfig
    from liverank.errors import ConfigError

    with pytest.raises(ConfigError, match="has 512 positions"):
        load_scorer(PACKAGED, LmConfig(history_tokens=600), torch.device("cpu"))
