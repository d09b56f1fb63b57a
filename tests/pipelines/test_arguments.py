"""What a pipeline is given: every source with its place in the world, and no password."""

from __future__ import annotations

import json

import pytest

from liverank.config import Config, DataConfig, load_config
from liverank.config.data import SourceConfig
from liverank.errors import ConfigError
from pipelines.arguments import SECTIONS, absolute, pipeline_arguments
from pipelines.cluster_arguments import cluster_arguments


def config(*sources, **settings):
    first, *others = sources
    data = DataConfig(source=first, sources=tuple(SourceConfig(source=other) for other in others))
    base = Config(data=data, **settings)
    return base.model_copy(
        update={
            "registry": base.registry.model_copy(update={"tracking_uri": "http://mlflow:5000"}),
            "deployment": base.deployment.model_copy(update={"target": "none"}),
            "pipeline": base.pipeline.model_copy(update={"volumes": {"data": "/data"}}),
        }
    )


def test_the_paths_of_all_sources_become_absolute_and_urls_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = absolute(config("clicks.csv", "more/clicks.csv", "s3://bucket/events/", "")).data
    assert found.source == str(tmp_path / "clicks.csv")
    assert [one.source for one in found.sources] == [str(tmp_path / "more/clicks.csv"), "s3://bucket/events/", ""]


def test_no_argument_is_none_as_kubeflow_has_no_such_value():
    space = {"tuning.space": {"count.window": {"choices": [2, 3]}, "count.query_decay": {"low": 0.5, "high": 1}}}
    arguments = pipeline_arguments(load_config(overrides=space))
    assert "null" not in json.dumps(arguments)
    assert (
        Config.model_validate({name: arguments[name] for name in SECTIONS}).tuning
        == load_config(overrides=space).tuning
    )


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (("/data/clicks.csv", "/home/me/more.csv"), r"data.sources\[0\].source is /home/me/more.csv, which no pod"),
        (("file:///home/me/clicks.csv",), "no pod can see"),
        (("sqlite:////home/me/shop.db",), "no pod can see"),
    ],
)
def test_a_pod_sees_volumes_and_urls_only(sources, said):
    with pytest.raises(ConfigError, match=said):
        cluster_arguments(config(*sources))


def test_volumes_and_stores_reach_the_cluster():
    found = cluster_arguments(config("/data/clicks.csv", "file:///data/more.csv"))["data"]
    assert [found["source"], found["sources"][0]["source"]] == ["/data/clicks.csv", "file:///data/more.csv"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/shop",
        "postgresql+psycopg://me:hunter2@db:5432/shop?sslmode=require",
        "redis://:hunter2@cache",
        "postgresql://db/shop?user=me&password=hunter2",
        "kafka://broker:9092/topic?sasl.password=hunter2",
        "https://store/clicks.csv?X-Amz-Signature=abc",
    ],
)
def test_a_password_in_any_source_is_refused(url):
    with pytest.raises(ConfigError, match="holds a password") as refused:
        pipeline_arguments(config("/data/clicks.csv", url))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://me@db/shop", "s3://bucket/a@b:c/", "https://store/clicks.csv?day=1"])
def test_a_url_without_one_is_an_argument(url):
    assert pipeline_arguments(config(url))["data"]["source"] == url
