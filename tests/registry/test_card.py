"""What the model card and the run's figures say of a fine-tuned re-ranker."""

from __future__ import annotations

from liverank.ranking.training_figures import curves, figures
from liverank.registry.card import _reranker

OUTCOME = {
    "deployed": False,
    "gain": 0.0012,
    "low": -0.001,
    "high": 0.0034,
    "judged": 1500,
    "training": {"judged": [0.1, 0.11], "losses": [2.7], "tokens_per_second": 900.0, "epsilon": 0.0},
}


def manifest(**more):
    config = {"language_model": "all-MiniLM-L6-v2", "lm": {"model": ""}}
    return {"config": config, "training": {"lm": {**OUTCOME, **more}}}


def test_the_card_tells_what_it_brought_whether_it_serves_or_not():
    left_out = _reranker(manifest())
    assert "(`all-MiniLM-L6-v2`) was fine-tuned too, and left out" in left_out
    assert "on 1,500 validation lists it changes NDCG@10 by +0.0012 [-0.0010, +0.0034]" in left_out
    assert "fine-tuned without differential privacy" in left_out
    assert "re-ranks the best candidates" in _reranker(manifest(deployed=True))


def test_without_one_it_says_nothing():
    assert _reranker({"config": {}, "training": {"lm": {}}}) == _reranker({"config": {}}) == ""


def test_its_figures_reach_the_run():
    training = manifest()["training"]
    assert curves(training) == {"training/lm/judged": [0.1, 0.11], "training/lm/losses": [2.7]}
    assert figures(training)["training/lm/training/tokens_per_second"] == 900.0
