"""The configuration: defaults, overrides, and errors that name the key."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
import yaml
from pydantic import BaseModel

from liverank.config import Config, load_config, parse_settings
from liverank.errors import ConfigError
from liverank.shaping.rules import Rules


def test_defaults_need_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config() == Config()


def test_a_file_and_overrides_are_read(tmp_path):
    file = tmp_path / "liverank.yaml"
    file.write_text("features: {candidates: 50}\n")
    config = load_config(file, {"features.history_length": 20, "training.interest.epochs": 2})
    assert (config.features.candidates, config.features.history_length, config.training.interest.epochs) == (50, 20, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("featurs: {}", "did you mean 'features'"),
        ("features: {candidtes: 5}", "did you mean 'features.candidates'"),
        ("training: {interest: {epoch: 5}}", "did you mean 'training.interest.epochs'"),
        ("features: {zzzzzz: 5}", "Unknown key 'features.zzzzzz'"),
        ("features: {candidates: many}", "'features.candidates'"),
        ("- a list", "mapping"),
        ("features: [", "YAML"),
        ("training: {interest: {dimension: 30, heads: 4}}", r"'training.interest'.* heads \(4\) must divide"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path, text, said):
    file = tmp_path / "liverank.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(file)


@pytest.mark.parametrize(
    ("surface", "said"),
    [
        ({"cap": []}, "did you mean 'serving.surfaces.home.caps'"),
        ({"caps": [{"most": 2, "witin": 3}]}, "did you mean 'serving.surfaces.home.caps.0.within'"),
        ({"pin": ["a", {"item_id": "a"}]}, "pinned twice"),
        ({"boost": [{"item_id": "a"}]}, "either 'add' or 'multiply'"),
        ({"exclude_types": ["devoured"]}, "'devoured' is not in data.event_weights"),
        ({"exploration": {"share": 0.1, "temperature": 0}}, "temperature"),
    ],
)
def test_rules_of_a_surface_without_a_meaning_are_refused(surface, said):
    with pytest.raises(ConfigError, match=said):
        load_config(overrides={"serving.surfaces": {"home": surface}})


def test_rules_of_a_surface_are_those_of_a_request():
    given = {"exclude": ["a"], "pin": ["b", {"item_id": "c", "position": 2}], "new": {"least": 0.1}, "diversity": {}}
    home = load_config(overrides={"serving.surfaces": {"home": given}}).serving.surfaces["home"]
    assert home.rules() == msgspec.convert(given, Rules)
    assert home.explores() is None


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_no_number_of_any_section_may_be_other_than_finite(value):
    keys = list(float_keys(Config()))
    assert {"training.interest.learning_rate", "training.linear.ridge", "training.blend.cold_price"} <= set(keys)
    for key in keys:
        with pytest.raises(ConfigError, match=rf"'{key}'.*finite"):
            load_config(overrides={key: yaml.safe_load(value)})


def float_keys(section: BaseModel, before: str = "") -> Iterator[str]:
    """The dotted names of all numbers that are not whole."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from float_keys(value, f"{before}{name}.")
        elif field.annotation is float:
            yield before + name


@pytest.mark.parametrize(
    "given", [{"training.threads": 100_000}, {"serving.threads": 100_000}, {"training.linear.ridge": 1e-6}]
)
def test_what_no_machine_can_do_is_refused(given):
    with pytest.raises(ConfigError, match=f"'{next(iter(given))}'"):
        load_config(overrides=given)


def test_an_override_within_a_section_that_is_left_empty(tmp_path):
    file = tmp_path / "liverank.yaml"
    file.write_text("features:\n")
    assert load_config(file, {"features.candidates": 50}).features.candidates == 50


def test_an_override_within_a_value_has_no_place(tmp_path):
    file = tmp_path / "liverank.yaml"
    file.write_text("features: {candidates: 5}\n")
    with pytest.raises(ConfigError, match=r"'features.candidates' is set to 5, so that 'features.candidates.x' has no"):
        load_config(file, {"features.candidates.x": 1})


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration file .*absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize(("written", "meant"), [("on", "on"), ("off", "off"), ('"on"', "on"), ("auto", "auto")])
def test_on_and_off_mean_what_they_say(tmp_path, written, meant):
    file = tmp_path / "liverank.yaml"
    file.write_text(f"training:\n  text:\n    tune: {written}\n")
    assert load_config(file).training.text.tune == meant


@pytest.mark.parametrize("written", ["on", '"on"', "true"])
def test_a_re_ranker_is_deployed_by_on_however_yaml_reads_it(tmp_path, written):
    file = tmp_path / "liverank.yaml"
    file.write_text(f"training: {{lm: {{deploy: {written}}}}}")
    assert load_config(file).training.lm.deploy == "on"
    assert load_config(overrides=parse_settings([f"training.lm.deploy={written}"])).training.lm.deploy == "on"


def test_it_survives_yaml(tmp_path):
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump(Config().model_dump(mode="json")))
    assert load_config(file) == Config()


def test_resolved_fills_in_what_depends_on_the_workspace(tmp_path):
    config = Config(workspace=str(tmp_path)).resolved()
    assert config.registry.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert config.registry.artifact_location.startswith("file:///")
    assert config.serving.store == f"{tmp_path}/live.db"


def test_a_tracking_server_decides_where_artifacts_go():
    config = Config.model_validate({"registry": {"tracking_uri": "http://mlflow:5000"}}).resolved()
    assert config.registry.artifact_location == ""


def test_every_key_is_described():
    def keys(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from keys(field.annotation, f"{prefix}{name}.")
            else:
                yield prefix + name, field.description

    assert [key for key, description in keys(Config) if not description] == []
