"""The space: what may be searched, what is said of what may not, and how trials draw from it."""

from __future__ import annotations

import optuna
import pytest
import yaml

from liverank.config import Config, load_config
from liverank.config.training import TrainingConfig
from liverank.config.tuning import DEFAULT_SPACE, FIXED, ParameterRange, TuningConfig, training_field
from liverank.errors import ConfigError
from liverank.tuning.space import Parameter, Space
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("key", "where", "said"),
    [
        ("count.windw", {"low": 1, "high": 3}, "did you mean 'count.window'"),
        ("training.count.window", {"low": 1, "high": 3}, "did you mean 'count.window'"),
        ("features.candidates", {"low": 10, "high": 30}, "is no key of section training"),
        ("count.window", {"low": 0, "high": 3}, "greater than or equal to 1"),
        ("count.window", {"low": 1, "high": 99}, "less than or equal to 50"),
        ("count.window", {"low": 1, "high": 3.5}, "valid integer"),
        ("count.window", {"low": 1, "high": 9, "step": 0.5}, "whole number"),
        ("count.window", {"low": 3, "high": 3}, "must be below"),
        ("count.window", {"low": 1}, "give low and high"),
        ("count.window", {"low": 1, "high": 3, "choices": [1]}, "either choices"),
        ("count.window", {"lo": 1, "high": 3}, "did you mean 'tuning.space.count.window.low'"),
        ("count.basket_weight", {"low": 0, "high": 1, "log": True}, "starts above 0"),
        ("count.learn_weights", {"low": 0, "high": 1}, "give choices"),
        ("interest.dimension", {"choices": [64, 4]}, "greater than or equal to 8"),
        ("interest.dimension", {"choices": [64, 64]}, "named twice"),
        ("seed", {"low": 1, "high": 9}, "luckiest seed"),
        ("feature_ranker", {"choices": [True, False]}, "is not searched"),
        ("launch.mode", {"choices": [1]}, "it says where to train"),
    ],
)
def test_a_space_that_means_nothing_is_a_config_error(key, where, said):
    with pytest.raises(ConfigError, match=said):
        load_config(overrides={"tuning.space": {key: where}})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tuning.sampler": "grid"}, "the grid needs a step or choices for count.popularity_power"),
        ({"tuning.folds": 20}, "at most 70%"),
        ({"tuning.study": "a/b"}, "tuning.study"),
        ({"tuning.trails": 3}, "did you mean 'tuning.trials'"),
    ],
)
def test_settings_that_cannot_work_are_said(settings, said):
    with pytest.raises(ConfigError, match=said):
        load_config(overrides=settings)


def test_the_space_of_the_package_is_valid_and_holds_every_present_setting_but_none_that_is_fixed():
    space = Space.of(TuningConfig(space=dict(DEFAULT_SPACE)), TrainingConfig())
    assert space.drawable() == space.present()
    assert not set(DEFAULT_SPACE) & set(FIXED)
    sections = TrainingConfig.model_fields
    assert all(key in sections or training_field(key) for key in FIXED)


def test_the_page_shows_the_space_of_the_package():
    page = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
    block = next(part.split("```")[0] for part in page.split("```yaml\n")[1:] if "count.window" in part)
    shown = Config.model_validate(yaml.safe_load(block)).tuning.space
    assert shown == DEFAULT_SPACE


@pytest.mark.parametrize(
    ("where", "inside", "outside"),
    [
        ({"low": 1, "high": 9}, [1, 5, 9], [0, 10]),
        ({"low": 1, "high": 9, "step": 4}, [1, 5, 9], [2, 8]),
        ({"choices": [2, 7]}, [2, 7], [3]),
    ],
)
def test_a_range_holds_what_a_trial_can_draw(where, inside, outside):
    parameter = Parameter("count.window", ParameterRange(**where))
    assert all(parameter.holds(value) for value in inside)
    assert not any(parameter.holds(value) for value in outside)
    drawn = {parameter.suggest(optuna.create_study().ask()) for _ in range(30)}
    assert all(parameter.holds(value) for value in drawn)
    assert all(type(value) is int for value in drawn)


def test_present_settings_outside_the_space_are_tried_all_the_same():
    tuning = TuningConfig(space={"count.window": {"low": 8, "high": 9}, "count.query_decay": {"low": 0.5, "high": 1}})
    space = Space.of(tuning, TrainingConfig())
    study = optuna.create_study()
    study.enqueue_trial(space.drawable())
    assert space.default(study.ask()) == {"count.window": TrainingConfig().count.window, "count.query_decay": 0.7}


def test_the_interest_model_is_searched_only_where_it_is_on():
    off = load_config(overrides={"training.interest.enabled": False}).training
    assert not [one.key for one in Space.of(TuningConfig(), off).parameters if one.key.startswith("interest.")]
    assert [one.key for one in Space.of(TuningConfig(), TrainingConfig()).parameters if one.key.startswith("interest.")]


def test_settings_that_exclude_each_other_make_no_configuration():
    space = Space.of(TuningConfig(), TrainingConfig())
    assert space.applied({"interest.dimension": 64, "interest.heads": 3}) is None
    made = space.applied({"interest.dimension": 66, "interest.heads": 3})
    assert made is not None
    assert (made.interest.dimension, made.interest.heads) == (66, 3)


def test_a_grid_has_every_combination_once():
    learn = {"choices": [True, False]}
    tuning = TuningConfig(
        sampler="grid", space={"count.window": {"low": 1, "high": 7, "step": 3}, "count.learn_weights": learn}
    )
    grid = Space.of(tuning, TrainingConfig()).grid(seed=1)
    found = {(at["count.window"], at["count.learn_weights"]) for at in grid}
    assert len(grid) == 6
    assert found == {(window, learn) for window in (1, 4, 7) for learn in (True, False)}


@pytest.mark.parametrize("part", ["interest", "linear"])
def test_what_is_off_is_not_searched(part):
    training = TrainingConfig.model_validate({part: {"enabled": False}})
    keys = {one.key.split(".")[0] for one in Space.of(TuningConfig(), training).parameters}
    assert keys == {"count", "interest", "linear"} - {part}
