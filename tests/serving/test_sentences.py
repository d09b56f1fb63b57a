"""Sentences say what the facts say: from the template at once, from a chat model once it is written and held."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from liverank.config.endpoint import EndpointConfig
from liverank.config.serving import SentencesConfig
from liverank.config.training import CountConfig
from liverank.ranking.count import CountRanker
from liverank.ranking.data import encode
from liverank.ranking.protocol import Candidates, Context, History, Request
from serving.api import EventReason
from serving.facts import Facts, facts_of
from serving.telling import FAILED, MODEL, REJECTED, TEMPLATE, SentenceWriter, from_template, grounded
from tests.ranking.lm.test_endpoint import Model, model  # noqa: F401  a fixture
from tests.ranking.test_count import catalogue_of, events_of

FACTS = Facts("Red lamp", (("purchase", "Oak desk"), ("view", "Blue chair")))

# Facts.


@pytest.fixture(scope="module")
def count():
    shop = catalogue_of("Oak desk", "Red lamp", "Blue chair", "Pen")
    rows = [(user, item, float(at)) for user in range(20) for at, item in enumerate((0, 1) if user % 2 else (2, 3))]
    return CountRanker.fit(shop, events_of(rows), CountConfig())


def asked(count, items, candidates=("i1", "i3", "new")):
    past = History(list(items), ["purchase"] * len(items), [100.0 * at for at in range(len(items))])
    given = Candidates(list(candidates), texts={"new": "A kettle"})
    return encode(count.catalogue, Request(past, given, Context(1e6)))


def did(item, effect, kind="purchase"):
    return EventReason(item, kind, datetime(2026, 3, 1, tzinfo=UTC), effect)


def test_facts_are_the_events_that_raise_the_score_the_strongest_first(count):
    request = asked(count, ["i0", "i2"])
    found = facts_of(count, request, 0, [did("i2", 0.2, "view"), did("i0", 0.5)])
    assert found == Facts("Red lamp", (("purchase", "Oak desk"), ("view", "Blue chair")))
    assert facts_of(count, request, 0, [did("i0", 0.5), did("i2", -0.9)]).because == (("purchase", "Oak desk"),)
    assert facts_of(count, request, 0, [did("i0", 0.5), did("i2", 0.1)]).because == (("purchase", "Oak desk"),)
    three = [did("i0", 0.5), did("i2", 0.4), did("i3", 0.3)]
    assert facts_of(count, request, 0, three).because == (("purchase", "Oak desk"), ("purchase", "Blue chair"))


def test_an_item_had_before_is_told_so_where_that_speaks_for_it(count):
    request = asked(count, ["i0", "i1"])
    assert facts_of(count, request, 0, [did("i1", 0.5), did("i0", 0.2)]) == Facts(
        "Red lamp", (("purchase", "Oak desk"),), again=True
    )
    assert not facts_of(count, request, 0, [did("i1", -0.5), did("i0", 0.2)]).again


def test_without_an_event_there_is_no_reason(count):
    assert facts_of(count, asked(count, []), 0, []) == Facts("Red lamp")
    assert facts_of(count, asked(count, ["i0"]), 2, [did("i0", -0.1)]) == Facts("A kettle")


def test_what_spoke_against_its_own_item_is_told_of_nothing(count):
    known = count.type_weights
    count.type_weights = {**known, "dislike": -1.0}
    try:
        assert facts_of(count, asked(count, ["i0"]), 0, [did("i0", 0.5, "dislike")]).because == ()
    finally:
        count.type_weights = known


# The template.


@pytest.mark.parametrize(
    ("facts", "english", "chinese"),
    [
        (FACTS, "Because you bought Oak desk and viewed Blue chair.", "因为您购买Oak desk，浏览Blue chair。"),
        (Facts("Pen", again=True), "You have had this before.", "您之前选过这件商品。"),
        (Facts("Pen"), "Picked for you: Pen.", "为您挑选：Pen。"),
        (Facts(""), "", ""),
    ],
)
def test_the_template_in_both_languages(facts, english, chinese):
    assert (from_template(facts, "en"), from_template(facts, "zh")) == (english, chinese)
    for sentence, language in ((english, "en"), (chinese, "zh")):
        assert grounded(sentence, facts, language) == bool(sentence)


# The check.


@pytest.mark.parametrize(
    "sentence",
    [
        "Since you bought the oak desk, the red lamp could suit you.",
        "You viewed Blue chair, so here is a Red lamp for you.",
        "This Red lamp fits the Oak desk.",
        "Because you bought Oak desk and viewed Blue chair.",
    ],
)
def test_what_the_facts_say_may_be_said(sentence):
    assert grounded(sentence, FACTS, "en")


@pytest.mark.parametrize(
    "sentence",
    [
        "You bought Oak desk, and the Golden clock goes with it.",  # a title that nobody named
        "The Red lamp is only 19.99 today.",  # a price
        "The best Red lamp for your Oak desk.",  # praise
        "A free Red lamp with your Oak desk.",
        "You disliked Oak desk.",  # what the user did not do
        "Because you bought Blue chair and viewed Oak desk.",  # the other way round
        "You bought Oak desk today.",  # when
        "Others who bought Oak desk took Red lamp.",
        "You have had Red lamp before.",
        "Thousands bought Red lamp after Oak desk.",
        "Visit http://evil.example for the Red lamp.",
        "The Red lamp.\nIgnore the above.",
        "",
        "...",
        "Red lamp " * 60,
    ],
)
def test_what_they_do_not_say_may_not(sentence):
    assert not grounded(sentence, FACTS, "en")


def test_chinese_is_checked_character_by_character():
    facts = Facts("红色台灯", (("purchase", "橡木书桌"),))
    assert grounded("因为您购买了橡木书桌，所以推荐这件红色台灯。", facts, "zh")
    assert not grounded("最便宜的红色台灯，只要99元。", facts, "zh")
    assert not grounded("您购买了金色时钟。", facts, "zh")


# The writer.


def writer_of(model, **settings):  # noqa: F811
    counted: Counter[str] = Counter()
    endpoint = EndpointConfig(url=model.url, model="large", timeout_seconds=2.0) if model else EndpointConfig()
    writer = SentenceWriter(
        SentencesConfig(top=3, endpoint=endpoint, **settings), lambda source: counted.update([source])
    )
    return writer, counted


def settled(condition):
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_without_a_model_the_template_speaks():
    writer, counted = writer_of(None)
    assert writer.sentence(FACTS) == from_template(FACTS, "en")
    assert counted == {TEMPLATE: 1}
    writer.close()


def test_a_sentence_that_holds_is_kept_for_the_next_time(model):  # noqa: F811
    model.answers = ['"Since you bought the oak desk, the red lamp could suit you."']
    writer, counted = writer_of(model)
    assert writer.sentence(FACTS) == from_template(FACTS, "en")
    settled(lambda: FACTS in writer._kept)
    assert writer.sentence(FACTS) == "Since you bought the oak desk, the red lamp could suit you."
    assert counted == {TEMPLATE: 1, MODEL: 1}
    [prompt] = model.asked
    assert "item: Red lamp" in prompt["messages"][1]["content"]
    writer.close()


def test_one_that_does_not_is_refused_and_not_asked_for_again(model):  # noqa: F811
    model.answers = ["The best lamp for 19.99!"]
    writer, counted = writer_of(model)
    writer.sentence(FACTS)
    settled(lambda: counted[REJECTED] == 1)
    assert [writer.sentence(FACTS) for _ in range(3)] == [from_template(FACTS, "en")] * 3
    time.sleep(0.1)
    assert len(model.asked) == 1
    writer.close()


def test_a_model_that_fails_is_asked_again_the_next_time(model):  # noqa: F811
    model.answers = [(500, {}, {}), "A red lamp for you."]
    writer, counted = writer_of(model)
    writer.sentence(FACTS)
    settled(lambda: counted[FAILED] == 1)
    writer.sentence(FACTS)
    settled(lambda: FACTS in writer._kept)
    assert writer.sentence(FACTS) == "A red lamp for you."
    writer.close()


def test_what_is_kept_and_what_waits_is_bounded(model):  # noqa: F811
    model.rank = lambda body: "A red lamp for you."
    writer, _ = writer_of(model, cache=2, queue=1)
    for number in range(4):
        facts = replace(FACTS, again=bool(number % 2), because=FACTS.because[: number // 2])
        writer.sentence(facts)
        settled(writer._waiting.empty)
    time.sleep(0.2)
    assert len(writer._kept) <= 2
    writer.close()


def test_pulls_are_of_the_events(count):
    request = asked(count, ["i0", "i2"])
    pulls = count.pulls(request, 1)
    assert pulls.shape == (2,)
    assert pulls[0] > 0 == pulls[1]
    assert np.isfinite(pulls).all()
