"""A language model in the protocols: rows of its own and of the cascade, over all items and over retrieved lists."""

from __future__ import annotations

import pytest

from liverank.config.data import DataConfig
from liverank.config.lm import LmConfig
from liverank.errors import ConfigError
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.log import read_log
from liverank.evaluation.protocols.ranks import truth_ranks
from liverank.evaluation.protocols.reread import reread_all
from liverank.evaluation.protocols.run import run_protocol, run_sampled
from liverank.evaluation.protocols.scoring import BundleScores, rank, scatter
from liverank.evaluation.protocols.settings import protocol_settings
from liverank.ranking.fit import fit_rankers
from tests.evaluation.protocols.made import chains, logged_lists, title, without_interest
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


def test_sampled_candidates_have_a_table_of_what_was_trained(reranking, tmp_path):
    result = run_sampled(chains(tmp_path / "data"), tmp_path / "out", 10, reranking, seeds=2)
    untrained, trained = result.findings
    assert set(untrained.rows) == {"zero-shot", "plain TF-IDF", "plain count"}
    assert {"cascade", "lm", "blend", "linear", "count"} <= set(trained.rows)
    assert len(trained.rows["cascade"]["ndcg"].seeds) == 2
    # Nine random others: whoever knows what follows what puts it before nearly all of them.
    assert trained.rows["blend"]["ndcg"].interval.mean > 0.6
    assert result.protocol == "sampled candidates, trained"
    with pytest.raises(ConfigError, match=r"training\.lm\.enabled"):
        run_sampled(tmp_path / "data", tmp_path / "other", 10, reranking)


def test_logged_lists_have_rows_of_the_cascade(reranking, tmp_path):
    settings = protocol_settings({"protocol": "lists", "share": 0.1})
    found = run_protocol(logged_lists(tmp_path / "data"), tmp_path / "out", settings, reranking).findings[0]
    assert {"cascade", "lm", "blend", "incoming"} <= set(found.rows)
    assert "cascade minus blend" in found.differences


def test_lists_whose_answer_cannot_move_rank_as_if_they_were_read(reranking, tmp_path):
    log = read_log(chains(tmp_path / "data"), DataConfig())
    split = leave_one_out(log)
    rankers = fit_rankers(split.over_all_items("x"), reranking.training, tmp_path).rankers
    ranks = rank(split, split.test, BundleScores(rankers)).ranks
    cascade = rankers["cascade"]
    found = reread_all(split, split.test, cascade, ranks["blend"])
    for at, ask in enumerate(split.test):
        request = split.encoded(ask, split.candidates(ask))
        [scores] = cascade.blend.combine([request], cascade.blend.signals([request]))
        for name, of in cascade.beside(request, scores).items():
            dense = scatter(name, [of], [request], len(log.catalogue))
            assert found[name][at].tolist() == truth_ranks(dense, [ask.truth])[0].tolist()
    moved = sum(one.tolist() != other.tolist() for one, other in zip(found["lm"], ranks["blend"], strict=True))
    assert 0 < moved < len(split.test)
