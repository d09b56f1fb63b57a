"""Protocols from the folder to the files."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import numpy as np
import pytest

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.errors import ConfigError, DataError
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.lists import incoming
from liverank.evaluation.protocols.log import read_log
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.recipes import plain_scores
from liverank.evaluation.protocols.run import run_protocol, run_sampled
from liverank.evaluation.protocols.scoring import BundleScores, full_scores, rank
from liverank.evaluation.protocols.settings import protocol_settings
from liverank.ranking.fit import fit_rankers
from tests.evaluation.protocols.made import START, chains, event, sequences, write

COUNTS = "training.interest.enabled"


def finding(result, table, group="all"):
    return next(one for one in result.findings if (one.table, one.group) == (table, group))


def test_all_rankers_and_the_plain_recipes_have_a_row(left_out):
    _, result = left_out
    rows = finding(result, "all items").rows
    bundle = {"blend", "interest", "linear", "count", "zero-shot", "popularity"}
    assert set(rows) == bundle | {"plain count", "plain TF-IDF", "plain count + TF-IDF"}
    assert rows["plain count"]["ndcg"].interval.mean > rows["popularity"]["ndcg"].interval.mean + 0.1
    for of in rows.values():
        assert of["hit_rate"].interval.mean == of["recall"].interval.mean
        assert of["ndcg"].interval.low <= of["ndcg"].interval.mean <= of["ndcg"].interval.high


def test_each_seed_has_its_value_and_what_is_not_trained_has_one(left_out):
    rows = finding(left_out[1], "all items").rows
    assert len(rows["blend"]["ndcg"].seeds) == 2
    assert len(set(rows["interest"]["mrr"].seeds)) == 2
    assert len(set(rows["count"]["ndcg"].seeds)) == len(set(rows["plain count"]["ndcg"].seeds)) == 1
    assert np.mean(rows["interest"]["mrr"].seeds) == pytest.approx(rows["interest"]["mrr"].interval.mean)


def test_lists_hold_what_the_retriever_found_and_no_more(left_out):
    _, result = left_out
    everything = finding(result, "all items").rows
    for retriever in ("count", "plain count + TF-IDF"):
        for length in (5, 20):
            table = f"lists of {length} from {retriever}"
            found, inside = finding(result, table), finding(result, table, "truth in the list")
            assert found.rows[retriever]["ndcg"].interval.mean == everything[retriever]["ndcg"].interval.mean
            assert 0 < inside.requests <= found.requests == 60
            # Of a list no longer than the cut-off every truth in it is a hit, in whatever order.
            if length == 5:
                assert inside.rows["blend"]["hit_rate"].interval.mean == 1
            assert "blend minus plain count + TF-IDF" in found.differences
    best = finding(result, "lists of 20 from count", "truth in the list").requests
    assert best >= finding(result, "lists of 5 from count", "truth in the list").requests


def test_differences_are_those_of_the_means(left_out):
    found = finding(left_out[1], "all items")
    gap = found.differences["blend minus plain count"]["ndcg"]
    means = [found.rows[name]["ndcg"].interval.mean for name in ("blend", "plain count")]
    assert gap.interval.mean == pytest.approx(means[0] - means[1])
    assert gap.interval.low <= gap.interval.mean <= gap.interval.high


def test_metrics_file_says_what_the_result_says(left_out):
    out, result = left_out
    written = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(result.to_json()))
    assert (written["format"], written["protocol"], written["k"]) == (1, "leave-one-out", 10)
    assert written["settings"]["seeds"] == 2
    assert written["data"]["test requests"] == written["data"]["validation requests"] == written["data"]["users"] == 60
    assert written["data"]["training events"] == 60 * 6
    figure = written["findings"][0]["rows"]["blend"]["ndcg"]
    assert set(figure) == {"mean", "low", "high", "requests", "seeds"}
    assert written["peak_mib"] > 50
    assert {"plain recipes", "fit count", "fit interest", "rank", "total"} <= set(written["seconds"])
    assert len(written["chosen"]["seeds"]) == 2
    assert "NaN" not in json.dumps(written)


def test_the_report_stands_alone(left_out):
    page = (left_out[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 3
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", page)
    assert "lists of 20 from count, truth in the list" in page


def test_training_states_do_not_stay(left_out):
    kept = [path.name for path in (left_out[0] / "checkpoints").iterdir()]
    assert all(name.startswith("embeddings") for name in kept)


def test_one_pass_gives_what_each_ranker_gives_alone(dataset, config, tmp_path):
    """The rows read off the blend's signals rank as the rankers do by their own contract."""
    split = leave_one_out(read_log(dataset, config.data))
    fitted = fit_rankers(split.training_data(split.validation_requests(), "x"), config.training, tmp_path)
    requests = [split.encoded(ask, split.candidates(ask)) for ask in split.test[:20]]
    scores = BundleScores(fitted.rankers)(requests)
    assert set(scores) == set(fitted.rankers)
    for name, ranker in fitted.rankers.items():
        alone = full_scores(ranker, split.log.catalogue, requests)
        for one, other in zip(scores[name], alone, strict=True):
            assert ((one == -np.inf) == (other == -np.inf)).all()
            places = np.argsort(-other, kind="stable")
            steps = np.diff(one[places][np.isfinite(one[places])])
            # The same order, but for what rounding makes of equal scores.
            assert steps.max(initial=0) < 1e-4, name


def test_renumbering_changes_nothing_but_ties(tmp_path):
    log = read_log(chains(tmp_path, users=80), DataConfig())
    values = []
    for of in (log, log.renumbered()):
        split = leave_one_out(of)
        ranked = rank(split, split.test, plain_scores(split, 10))
        values.append({name: metrics(ranks, 10)["ndcg"] for name, ranks in ranked.ranks.items()})
    for name, before in values[0].items():
        same = np.isclose(before, values[1][name])
        assert same.mean() > 0.8, name
        assert abs(before.mean() - values[1][name].mean()) < 0.03, name
    # Where no two scores are equal nothing may change at all.
    assert len(values[0]) == 3


def test_cold_items_are_told_apart(dataset, config, tmp_path):
    settings = protocol_settings({"protocol": "leave-one-out", "cold": 0.2})
    quick = config.model_copy(update={"training": _without_interest(config)})
    result = run_protocol(dataset, tmp_path, settings, quick)
    groups = {one.group: one for one in result.findings}
    assert set(groups) == {"all", "warm", "cold", "cold, all hidden"}
    assert groups["warm"].requests + groups["cold, all hidden"].requests == groups["all"].requests
    assert groups["cold"].rows["plain count"]["ndcg"].interval.mean == 0
    assert groups["warm"].rows["plain count"]["ndcg"].interval.mean > 0.1


def _without_interest(config):
    interest = config.training.interest.model_copy(update={"enabled": False})
    return config.training.model_copy(update={"interest": interest})


def test_temporal_tells_users_with_a_history_apart(dataset, config, tmp_path):
    quick = config.model_copy(update={"training": _without_interest(config)})
    result = run_protocol(dataset, tmp_path, protocol_settings({"protocol": "temporal", "share": 0.2}), quick)
    assert {one.group for one in result.findings} == {"all", "with a history"}
    assert finding(result, "all items").rows["plain count"]["ndcg"].interval.mean > 0.1


def test_prequential_compares_the_blend_with_the_row_to_beat(dataset, config, tmp_path):
    quick = config.model_copy(update={"training": _without_interest(config)})
    result = run_protocol(dataset, tmp_path, protocol_settings({"protocol": "prequential"}), quick)
    found = finding(result, "all")
    assert found.requests == result.data["test requests"] == 48
    assert "blend of counts minus what the customer bought most" in found.differences
    fresh = finding(result, "returning, new items")
    assert "blend of counts minus co-occurrence + 0.5 TF-IDF + popularity" in fresh.differences
    assert result.seconds["walk alone"] > 0


def test_a_cut_that_leaves_nothing_is_said(dataset, config, tmp_path):
    with pytest.raises(DataError, match="no basket before the cut"):
        run_protocol(dataset, tmp_path, protocol_settings({"protocol": "prequential", "cut": "2031-01-01"}), config)
    with pytest.raises(ConfigError, match="'soon' is no date"):
        run_protocol(dataset, tmp_path, protocol_settings({"protocol": "prequential", "cut": "soon"}), config)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """40 users with six events and two lists each; the item that came stands third, and every fourth list lacks it."""
    rng, events, lists = np.random.default_rng(3), [], []
    items = [f"i{at:02d}" for at in range(40)]
    for user in range(40):
        path = [(user + step) % 40 for step in range(8)]
        for at, item in enumerate(path):
            hour = 24 * at if at < 6 else 24 * (at + 2)
            name = f"l{user}-{at}" if at >= 6 else None
            events.append(event(f"u{user}", items[item], hour, len(events), impression=name))
            if name:
                others = [other for other in rng.permutation(40)[:10].tolist() if other not in path]
                held = others[:2] + ([] if user % 4 == 0 else [item]) + others[2:6]
                lines = [
                    {c.ITEM_ID: items[one], c.POSITION: place, c.SCORE: 1.0 / place}
                    for place, one in enumerate(held, 1)
                ]
                when = START + timedelta(hours=hour - 1)
                lists.append({c.IMPRESSION_ID: name, c.USER_ID: f"u{user}", c.TIMESTAMP: when, c.SHOWN: lines,
                              c.CONTEXT: [], c.DEGRADED: []})  # fmt: skip
    return write(tmp_path_factory.mktemp("lists"), events, items, lists)


def test_logged_lists_are_ranked_beside_their_own_order(shown, config, tmp_path):
    quick = config.model_copy(update={"training": _without_interest(config)})
    result = run_protocol(shown, tmp_path, protocol_settings({"protocol": "lists"}), quick)
    everything, inside = result.findings
    assert (everything.requests, inside.requests) == (40, 30)
    # In every list that holds it the answer stands third; where the list lacks it, it is missed.
    assert inside.rows["incoming"]["ndcg"].interval.mean == pytest.approx(0.5)
    assert everything.rows["incoming"]["ndcg"].interval.mean == pytest.approx(0.375)
    assert everything.rows["incoming"]["hit_rate"].interval.mean == pytest.approx(0.75)
    assert inside.rows["blend"]["ndcg"].interval.mean > 0.6
    assert result.data["validation"] == "logged lists"


def test_lists_without_answers_are_said(dataset, config, tmp_path):
    with pytest.raises(DataError, match="holds no impression"):
        run_protocol(dataset, tmp_path, protocol_settings({"protocol": "lists"}), config)


def test_the_incoming_order_goes_before_the_shown_one():
    names = (c.ITEM_ID, c.POSITION, c.SCORE, c.INCOMING_POSITION, c.INCOMING_SCORE)
    lines = [("a", 1, 0.9, 2, 0.1), ("b", 2, 0.8, 1, 0.7)]
    ids, scores = incoming([dict(zip(names, line, strict=True)) for line in lines])
    assert ids == ["b", "a"]
    assert scores.tolist() == pytest.approx([0.7, 0.1])
    plain = [("a", 2, 0.9, None, None), ("b", 1, None, None, None)]
    ids, scores = incoming([dict(zip(names, line, strict=True)) for line in plain])
    assert (ids, scores) == (["b", "a"], None)


def test_sampled_candidates(dataset, config, tmp_path):
    result = run_sampled(dataset, tmp_path, 20, config)
    rows = result.findings[0].rows
    assert set(rows) == {"zero-shot", "plain TF-IDF", "plain count"}
    # One of 20 at random: 1/20 of the requests have the truth first.
    assert rows["plain count"]["ndcg"].interval.mean > 0.6
    assert result.protocol == "sampled candidates"


def test_too_few_users_are_said(tmp_path, config):
    sequences(tmp_path / "few", {"u": "abcd", "v": "efg"})
    with pytest.raises(DataError, match="Only 2 requests can be tested"):
        run_protocol(tmp_path / "few", tmp_path / "out", protocol_settings({"protocol": "leave-one-out"}), config)


def test_features_of_candidates_are_refused(dataset, config, tmp_path):
    training = config.training.model_copy(update={"feature_ranker": True})
    with pytest.raises(ConfigError, match="no features of candidates"):
        run_protocol(dataset, tmp_path, protocol_settings({}), config.model_copy(update={"training": training}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"protocol": "leave-two-out"}, "--protocol: "),
        ({"protocol": "temporal", "cold": 0.1}, "--cold means nothing to the protocol temporal"),
        ({"protocol": "prequential", "lists": (20,)}, "--lists means nothing"),
        ({"protocol": "lists", "max_users": 5}, "--max-users means nothing"),
        ({"protocol": "leave-one-out", "lists": (0,)}, "at least one place"),
        ({"cold": 1.5}, "--cold: "),
    ],
)
def test_settings_without_meaning_are_refused(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        protocol_settings(given)
