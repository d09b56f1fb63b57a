"""Protocols from the folder to the files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.errors import ConfigError, DataError
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.lists import incoming, read_lists
from liverank.evaluation.protocols.log import read_log
from liverank.evaluation.protocols.plain_counts import PlainCounts
from liverank.evaluation.protocols.results import Table, find
from liverank.evaluation.protocols.run import run_protocol, run_sampled
from liverank.evaluation.protocols.scoring import BundleScores, PlainScores, full_scores, rank
from liverank.evaluation.protocols.settings import protocol_settings
from liverank.ranking.fit import fit_rankers
from tests.evaluation.protocols.made import chains, event, logged_lists, sequences, without_interest, write


def finding(result, table, group="all"):
    return next(one for one in result.findings if (one.table, one.group) == (table, group))


def test_all_rankers_and_the_plain_recipes_have_a_row(left_out):
    _, result = left_out
    rows = finding(result, "all items").rows
    bundle = {"blend", "interest", "linear", "count", "zero-shot", "popularity"}
    before = {f"{name}, before the refit" for name in ("blend", "interest", "count")}
    assert set(rows) == bundle | before | {"plain count", "plain TF-IDF", "plain count + TF-IDF"}
    assert all(rows[name]["mrr"].seeds != rows[f"{name}, before the refit"]["mrr"].seeds for name in ("blend", "count"))
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
    # On a narrow screen each plot scrolls by itself, and its edge is shaded where it goes on.
    assert page.count('<div class="wide"><svg') == page.count("<svg")
    assert re.search(r"\.wide { overflow-x: auto; background: .* scroll", page, re.DOTALL)


def test_training_states_do_not_stay(left_out):
    kept = [path.name for path in (left_out[0] / "checkpoints").iterdir()]
    assert all(name.startswith("embeddings") for name in kept)


def test_one_pass_gives_what_each_ranker_gives_alone(dataset, config, tmp_path):
    """The rows read off the blend's signals rank as the rankers do by their own contract."""
    split = leave_one_out(read_log(dataset, config.data))
    fitted = fit_rankers(split.over_all_items("x"), config.training, tmp_path)
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
    ranks, alone = [], {}
    for of in (log, log.renumbered()):
        split = leave_one_out(of)
        recipe = PlainScores(PlainCounts.fit(split.sequences(), split.log.catalogue.texts), split.log.label_types, 0.5)
        ranks.append({name: np.concatenate(rows) for name, rows in rank(split, split.test, recipe).ranks.items()})
        for name, scores in recipe([split.encoded(ask, split.candidates(ask)) for ask in split.test]).items():
            wanted = np.asarray([row[ask.truth] for row, ask in zip(scores, split.test, strict=True)])
            # Equal up to rounding: sums run in the order of the rows.
            alone[name] = (np.abs(scores - wanted) <= 1e-5 * np.abs(wanted)).sum(axis=1) == 1
    for name, before in ranks[0].items():
        assert alone[name].sum() > 20, name
        assert (before == ranks[1][name])[alone[name]].all(), name
    # Among equal scores the order of the rows decides, and that is another one.
    assert any((before != ranks[1][name]).any() for name, before in ranks[0].items())


def test_cold_items_are_told_apart(config, tmp_path):
    settings = protocol_settings({"protocol": "leave-one-out", "cold": 0.2})
    quick = without_interest(config)
    result = run_protocol(chains(tmp_path / "data", users=200, items=60), tmp_path / "out", settings, quick)
    groups = {one.group: one for one in result.findings}
    assert set(groups) == {"all", "warm", "cold", "cold, all hidden"}
    assert groups["warm"].requests + groups["cold, all hidden"].requests == groups["all"].requests
    assert groups["cold"].rows["plain count"]["ndcg"].interval.mean == 0
    assert groups["warm"].rows["plain count"]["ndcg"].interval.mean > 0.1


def test_temporal_tells_users_with_a_history_apart(dataset, config, tmp_path):
    quick, settings = without_interest(config), protocol_settings({"protocol": "temporal", "share": 0.2})
    mixed = run_protocol(chains(tmp_path / "data", newcomers=20), tmp_path / "mixed", settings, quick)
    groups = {one.group: one.requests for one in mixed.findings}
    assert set(groups) == {"all", "with a history", "without a history"}
    assert groups["all"] == groups["with a history"] + groups["without a history"]
    result = run_protocol(dataset, tmp_path / "out", settings, quick)
    assert {one.group for one in result.findings} == {"all"}  # nobody is new: the other tables would be the same again
    assert finding(result, "all items").rows["plain count"]["ndcg"].interval.mean > 0.1


def test_prequential_compares_the_blend_with_the_row_to_beat(dataset, config, tmp_path):
    quick = without_interest(config)
    result = run_protocol(dataset, tmp_path, protocol_settings({"protocol": "prequential"}), quick)
    found = finding(result, "all")
    assert found.requests == result.data["test requests"] == 48
    assert "blend minus what the customer bought most" in found.differences
    assert {"blend minus count", "blend minus blend, counts as of the cut"} <= set(found.differences)
    assert "trained once at the cut: serving does not renew its counts" in found.lead
    fresh = finding(result, "returning, new items")
    assert "blend minus co-occurrence + 0.5 TF-IDF + popularity" in fresh.differences
    assert result.seconds["walk alone"] > 0


def test_a_cut_that_leaves_nothing_is_said(dataset, config, tmp_path):
    with pytest.raises(DataError, match="no basket before the cut"):
        run_protocol(dataset, tmp_path, protocol_settings({"protocol": "prequential", "cut": "2031-01-01"}), config)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return logged_lists(tmp_path_factory.mktemp("lists"))


def test_logged_lists_are_ranked_beside_their_own_order(shown, config, tmp_path):
    quick = without_interest(config)
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
    with pytest.raises(DataError, match="Only 2 requests can be tested") as problem:
        run_protocol(tmp_path / "few", tmp_path / "out", protocol_settings({"protocol": "leave-one-out"}), config)
    assert "add --keep-seen" in str(problem.value.hint)


def test_many_requests_of_a_few_users_are_too_few(tmp_path, config):
    """Intervals resample users: of one user's requests they would have no width."""
    events = [event(f"u{at % 3}", f"i{at % 7}", 24.0 * at, at) for at in range(120)]
    write(tmp_path / "few", events, [f"i{at}" for at in range(7)])
    for given in ({"protocol": "prequential"}, {"protocol": "temporal", "keep_seen": True}):
        with pytest.raises(DataError, match="come from 3 users"):
            run_protocol(tmp_path / "few", tmp_path / "out", protocol_settings(given), config)


def test_a_group_of_a_few_users_has_no_figures(dataset, config, tmp_path):
    users = [f"u{at}" for at in range(30)]
    values = {"blend": {"ndcg": np.linspace(0, 1, 30)}}
    groups = {"few": np.arange(30) < 9, "enough": np.arange(30) < 10}
    found = find(Table("all items", "", users, values, groups), config.evaluation)
    assert [one.group for one in found] == ["all", "enough"]


def test_a_run_that_fails_leaves_no_results_of_an_earlier_one(tmp_path, config):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("metrics.json", "report.html"):
        (out / name).write_text("of an earlier run", encoding="utf-8")
    sequences(tmp_path / "few", {"u": "abcd", "v": "efg"})
    with pytest.raises(DataError):
        run_protocol(tmp_path / "few", out, protocol_settings({"protocol": "leave-one-out"}), config)
    assert not list(out.glob("*.json")) + list(out.glob("*.html"))


def test_answers_after_the_test_began_teach_no_weights(tmp_path):
    folder = logged_lists(tmp_path)
    logged = read_lists(folder, DataConfig())
    times = sorted(logged.told["timestamp"].cast("int64").to_numpy() / 1e6)
    every, early = logged.answers(), logged.answers(times[40])
    assert len(every) == 80
    assert set(early) == {name for name in every if name.endswith("-6")}
    assert len(logged.answers(times[0])) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"protocol": "leave-two-out"}, "--protocol: "),
        ({"protocol": "temporal", "cold": 0.1}, "--cold means nothing to the protocol temporal"),
        ({"protocol": "prequential", "lists": (20,)}, "--lists means nothing"),
        ({"protocol": "lists", "max_users": 5}, "--max-users means nothing"),
        ({"protocol": "leave-one-out", "lists": (0,)}, "at least one place"),
        ({"cold": 1.5}, "--cold: "),
        ({"protocol": "prequential", "cut": "soon"}, "--cut: 'soon' is no date or time"),
    ],
)
def test_settings_without_meaning_are_refused(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as problem:
        protocol_settings(given)
    assert problem.value.hint


def test_lists_longer_than_the_catalogue_hold_all_of_it(dataset, config, tmp_path):
    settings = protocol_settings({"protocol": "leave-one-out", "lists": (20, 100)})
    result = run_protocol(dataset, tmp_path, settings, without_interest(config))
    inside = finding(result, "lists of 100 from count", "truth in the list")
    assert inside.requests == result.data["test requests"] == 60
    # Every answer is in the list of all 40 items.
    assert inside.rows["blend"]["mrr"].interval.low > 1 / 40


def test_retrieved_validation_lists_are_no_longer_than_the_catalogue(tmp_path, config):
    """Too few logged lists to learn from: 100 items are retrieved, of a catalogue of 40."""
    folder = logged_lists(tmp_path / "data", kept=(7,))
    result = run_protocol(folder, tmp_path / "out", protocol_settings({"protocol": "lists"}), without_interest(config))
    assert result.data["validation"] == "retrieved"
    assert result.data["validation requests"] == 40
