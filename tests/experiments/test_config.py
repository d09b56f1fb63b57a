"""Experiments that mean nothing are refused."""

from __future__ import annotations

from typing import Any

import pytest

from liverank.config import load_config
from liverank.errors import ConfigError

HALVES = {"control": {"share": 0.5}, "new": {"share": 0.5, "model": "version:7"}}
PAIR = {"control": {}, "new": {"model": "alias:challenger"}}


def experiment(**keys: Any) -> dict[str, Any]:
    return {"serving": {"experiment": {"name": "e", **keys}}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (experiment(variants={"control": {"share": 0.5}}), "another one"),
        (experiment(variants={"a": {"share": 0.5}, "b": {"share": 0.5}}), "control"),
        (experiment(variants={**HALVES, "new": {"share": 0.4}}), "sum to 1"),
        (experiment(variants={**HALVES, "new": {}}), "sum to 1"),
        (experiment(variants={**HALVES, "new": {"share": 0.5, "model": "newest"}}), "model"),
        (experiment(variants={**HALVES, "control": {"share": 0.5, "model": "version:1"}}), "serves anyway"),
        (experiment(variants={"control": {"share": 0.5}, "a b": {"share": 0.5}}), "'a b'"),
        (experiment(variants=HALVES, mode="interleave"), "leave the shares out"),
        (experiment(variants={**PAIR, "third": {}}, mode="interleave"), "two rankings"),
        (experiment(variants=HALVES, days=3), "days"),
        (experiment(variants={"control": {"share": 0.5}, "new": {"share": 1.5}}), "less than 1"),
        ({"serving": {"shadow": {"s": {"model": "champion"}}}}, "model"),
    ],
)
def test_it_says_what_is_wrong(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(None, given)


def test_interleaved_lists_cannot_be_explored() -> None:
    given = experiment(variants=PAIR, mode="interleave")
    given["serving"]["surfaces"] = {"home": {"exploration": {"share": 0.1}}}
    with pytest.raises(ConfigError, match="no propensities"):
        load_config(None, given)


def test_a_model_does_not_serve_and_run_on_the_side() -> None:
    given = experiment(variants=HALVES)
    given["serving"]["shadow"] = {"s": {"model": "version:7"}}
    with pytest.raises(ConfigError, match="serves a variant"):
        load_config(None, given)


def test_what_is_meant_is_taken() -> None:
    split = load_config(None, experiment(variants=HALVES)).serving.experiment
    assert split is not None
    assert split.shares() == {"control": 0.5, "new": 0.5}
    pair = load_config(None, experiment(variants=PAIR, mode="interleave")).serving.experiment
    assert pair is not None
    assert (pair.others, pair.shares()) == (["new"], {})
