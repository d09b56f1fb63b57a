"""What a protocol trains with, and what it refuses."""

from __future__ import annotations

import json
import re

import pytest

from liverank.config import load_config
from liverank.config.base import differences
from liverank.config.training import TrainingConfig
from liverank.errors import ConfigError
from liverank.evaluation.protocols.run import run_protocol, run_sampled
from liverank.evaluation.protocols.settings import PROTOCOLS, protocol_settings
from liverank.evaluation.protocols.trained import SAMPLED, changes, check_training, told, undecayed
from tests.evaluation.protocols.made import without_interest

HALF_LIVES = [f"training.count.{name}" for name in
              ("half_life_days", "popularity_half_life_days", "established_half_life_days")]  # fmt: skip


def test_differences_are_dotted_and_plain():
    config = load_config(overrides={"training.seed": 8, "training.interest.distil.teachers": ["a"]})
    assert differences(config.training, TrainingConfig()) == {"seed": 8, "interest.distil.teachers": ["a"]}
    assert changes(TrainingConfig()) == {}


def test_leave_one_out_has_no_decay_but_one_that_was_asked_for():
    assert changes(undecayed(TrainingConfig(), "leave-one-out")) == dict.fromkeys(HALF_LIVES, 1e6)
    # One that is named stays, be it the default's.
    for value in (90, 30):
        asked = load_config(overrides={HALF_LIVES[0]: value}).training
        assert undecayed(asked, "leave-one-out").count.half_life_days == value
        assert undecayed(asked, "leave-one-out").count.popularity_half_life_days == 1e6
    for protocol in ("temporal", "prequential", "lists"):
        assert undecayed(TrainingConfig(), protocol) == TrainingConfig()


def test_a_run_says_what_it_trained_with(left_out, dataset, config, tmp_path):
    out, result = left_out
    assert result.training | dict.fromkeys(HALF_LIVES, 1e6) == result.training
    assert result.training["training.interest.dimension"] == 16
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8"))["training"] == result.training
    assert "but for training.count.half_life_days 1,000,000, " in (out / "report.html").read_text(encoding="utf-8")
    temporal = protocol_settings({"protocol": "temporal", "share": 0.2})
    assert not set(HALF_LIVES) & set(run_protocol(dataset, tmp_path, temporal, without_interest(config)).training)


def test_the_changes_as_a_sentence():
    assert told({}) == "Training: the default configuration."
    given = {"training.interest.enabled": False, "training.text.learning_rate": 0.0001, "training.x": ["a", "b"]}
    assert told(given).endswith(
        "but for training.interest.enabled false, training.text.learning_rate 0.0001, training.x a, b."
    )


CLOSED = [
    ("training.feature_ranker", True, (*PROTOCOLS, SAMPLED), "no features of candidates"),
    ("training.launch.mode", "torchrun", (*PROTOCOLS, SAMPLED), "--set training.launch.mode=inline"),
    ("training.interest.distil.seeds", 2, ("prequential",), "learns from events alone"),
    ("training.interest.distil.teachers", ["a"], ("prequential",), "learns from events alone"),
    ("training.text.tune", "on", (SAMPLED,), "never trained"),
]


@pytest.mark.parametrize(("key", "value", "refusing", "said"), CLOSED, ids=[row[0] for row in CLOSED])
def test_settings_without_effect_are_refused(key, value, refusing, said):
    training = load_config(overrides={key: value}).training
    for protocol in (*PROTOCOLS, SAMPLED):
        if protocol in refusing:
            with pytest.raises(ConfigError, match=re.escape(f"{key} means nothing to the protocol {protocol}")) as end:
                check_training(training, protocol)
            assert said in str(end.value)
        else:
            check_training(training, protocol)


def test_they_are_refused_before_any_work(tmp_path):
    config = load_config(overrides={"training.feature_ranker": True})
    for run in (
        lambda: run_protocol(tmp_path / "absent", tmp_path / "out", protocol_settings({}), config),
        lambda: run_sampled(tmp_path / "absent", tmp_path / "out", 20, config),
    ):
        with pytest.raises(ConfigError, match="means nothing"):
            run()
    assert list(tmp_path.iterdir()) == []
