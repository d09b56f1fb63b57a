"""A language model in the protocols: rows of its own and of the cascade, over all items and over retrieved lists."""

from __future__ import annotations

import pytest

from liverank.config.lm import LmConfig
from liverank.errors import ConfigError
from liverank.evaluation.protocols.run import run_protocol
from liverank.evaluation.protocols.settings import protocol_settings
from tests.evaluation.protocols.made import chains, title, without_interest
from tests.ranking.lm.tiny_models import encoder


@pytest.fixture(scope="module")
def reranking(tmp_path_factory, config):
    words = [word for at in range(40) for word in title(at).split()]
    model = encoder(tmp_path_factory.mktemp("model"), words, layers=2)
    lm = LmConfig(
        enabled=True, deploy="on", model=str(model), joint_layers=1, history_tokens=64, steps=6, judge_steps=3, top=5
    )
    quick = without_interest(config)
    return quick.model_copy(update={"training": quick.training.model_copy(update={"lm": lm})})


@pytest.fixture(scope="module")
def result(tmp_path_factory, reranking):
    base = tmp_path_factory.mktemp("reranked")
    settings = protocol_settings({"protocol": "leave-one-out", "lists": (10,)})
    return run_protocol(chains(base / "data"), base / "out", settings, reranking)


def test_every_table_sets_the_cascade_beside_the_blend(result):
    for found in (one for one in result.findings if one.group == "all"):
        assert {"cascade", "lm", "blend"} <= set(found.rows)
        assert "cascade minus blend" in found.differences


def test_what_is_not_read_keeps_its_place(result):
    """Five are read: a hit among ten cannot be lost or won, whatever their order."""
    for found in (one for one in result.findings if one.group == "all"):
        hits = {name: found.rows[name]["hit_rate"].interval.mean for name in ("cascade", "lm", "blend")}
        assert len(set(hits.values())) == 1
    everything = next(one for one in result.findings if one.table == "all items")
    assert everything.rows["lm"]["ndcg"].interval.mean != everything.rows["blend"]["ndcg"].interval.mean


def test_what_was_fine_tuned_is_told(result):
    [chosen] = result.chosen["seeds"]
    assert chosen["lm"]["deployed"]
    assert chosen["lm"]["training"]["steps"] == 6


def test_where_nothing_is_re_ranked_the_setting_is_refused(reranking, tmp_path):
    settings = protocol_settings({"protocol": "prequential"})
    with pytest.raises(ConfigError, match="no language model re-ranks there"):
        run_protocol(chains(tmp_path / "data"), tmp_path / "out", settings, reranking)
