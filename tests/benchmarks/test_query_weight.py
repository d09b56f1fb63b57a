"""The benchmark of a query's weight: simulated queries, what each weight makes of a list, and the page."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.compression_stages import bundle
from benchmarks.query_weight import main, part
from benchmarks.query_weight_stages import DEFAULT, LISTS, PROPOSED, QUERIES, SEARCHED, WEIGHTS, Titles, query_weights
from liverank.config import EvaluationConfig
from liverank.config.data import DataConfig
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.log import read_log
from liverank.evaluation.protocols.ranks import metrics
from liverank.evaluation.protocols.scoring import BundleScores, rank
from liverank.ranking.bundle_files import load_bundle
from liverank.ranking.catalogue import Catalogue
from tests.evaluation.protocols.made import chains

SETTINGS = {"protocol": "leave-one-out"}
OVERRIDES = {"training.interest.enabled": False}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A dataset of forty items and a bundle, what the stage answers, and its file's arrays."""
    base = tmp_path_factory.mktemp("query-weight")
    dataset, trained, out = str(chains(base / "data")), str(base / "bundle"), str(base / "ndcg.npz")
    bundle(dataset, trained, str(base / "checkpoints"), SETTINGS, OVERRIDES)
    asked = query_weights(dataset, trained, out, SETTINGS, OVERRIDES, 50)
    with np.load(out) as arrays:
        return base, asked, dict(arrays)


def test_without_weight_the_order_is_the_blend_s_and_with_all_of_it_the_query_s(world):
    """Forty items are fewer than a list holds, so that both kinds of lists hold all of them."""
    base, asked, found = world
    split = leave_one_out(read_log(base / "data", DataConfig()))
    alone = metrics(rank(split, split.test, BundleScores(load_bundle(base / "bundle").rankers)).ranks["blend"], 10)
    by_user = {split.log.events.users[ask.user]: value for ask, value in zip(split.test, alone["ndcg"], strict=True)}
    assert asked["asked"] == 50
    for kind in QUERIES:
        proposed, searched = found[f"{PROPOSED}/{kind}"], found[f"{SEARCHED}/{kind}"]
        users = found[f"{PROPOSED}/{kind}/users"].tolist()
        assert users == found[f"{SEARCHED}/{kind}/users"].tolist()
        assert len(proposed) == len(set(users)) == 50
        np.testing.assert_allclose(proposed[:, 0], [by_user[user] for user in users], atol=1e-6)
        assert searched[:, -1].mean() == pytest.approx(proposed[:, -1].mean(), abs=0.02), "but for equal cosines"


def test_a_query_of_its_title_finds_what_came(world):
    assert world[2][f"{PROPOSED}/two words"][:, -1].mean() > 0.5


def test_queries_are_words_of_titles():
    titles = ("The Copper&nbsp;Kettle, 2 l", "Copper pan with lid", "", "42", "Copper")
    vectors = np.asarray([[1, 0], [0.8, 0.6], [0, 0], [0.6, 0.8], [0, 1]], np.float32)
    names = tuple(map(str, range(5)))
    made = Titles(Catalogue(names, titles, names, titles, np.zeros(5, np.int64), vectors))
    assert made.words == [["copper", "kettle"], ["copper", "pan", "lid"], [], [], ["copper"]]
    rng = np.random.default_rng(1)
    many = [made.queries(0, rng) for _ in range(50)]
    for kind, wanted in zip(
        QUERIES,
        ({"copper", "kettle"}, {"copper kettle"}, {"copper"}, {"copper", "pan", "lid"}),
        strict=True,
    ):
        assert {queries[kind] for queries in many} == wanted
    # Its nearest title has no word, and it has one alone.
    assert made.queries(4, rng) == {QUERIES[0]: "copper", QUERIES[2]: "copper"}


def test_the_page_marks_the_best_and_sets_the_others_beside_the_default():
    users = np.asarray([f"u{at}" for at in range(40)])
    values = np.tile(np.where(np.asarray(WEIGHTS) == 0.25, 0.5, 0.4), (40, 1))
    names = [f"{lists}/{kind}" for lists, kind in product(LISTS, QUERIES)]
    found = dict.fromkeys(names, values) | {f"{name}/users": users for name in names}
    text = part("where\n\n", EvaluationConfig(), {}, {"asked": 1234}, found)
    assert "1,234 of them asked for" in text
    best = " | ".join("**0.5000**" if weight == 0.25 else "0.4000" for weight in WEIGHTS)
    assert text.count(f"| two words | 40 | {best} |") == len(LISTS)
    row = next(line for line in text.splitlines() if line.startswith("| two words | +"))
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert cells[WEIGHTS.index(DEFAULT)] == ""
    assert cells[WEIGHTS.index(0.25)] == "+0.1000 (+0.1000, +0.1000)"
    assert cells[WEIGHTS.index(1.0)] == "+0.0000 (+0.0000, +0.0000)"


def test_absent_data_are_said(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    assert "games_interactions.parquet is not at hand" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
