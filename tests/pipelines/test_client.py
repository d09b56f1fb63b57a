"""Submitting, scheduling and triggering against a stand-in for the Kubeflow Pipelines API."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from liverank.config import Config, load_config
from liverank.errors import ConfigError, PipelineError
from monitoring.trigger import Facts
from pipelines.client import KubeflowClient
from pipelines.triggers import KfpTrigger
from tests.pipelines.fake_kubeflow import FakeKubeflow, serve

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FACTS = Facts(decision_id="d1", rule="quality-loss", reason="NDCG fell", model_version="3", cursor=1200, time=NOW)


@pytest.fixture
def fake():
    return FakeKubeflow()


@pytest.fixture
def config(fake):
    server = serve(fake)
    yield load_config(
        overrides={
            "pipeline.host": f"http://127.0.0.1:{server.server_port}",
            "pipeline.service_account": "trainer",
            "pipeline.root": "s3://runs",
            "pipeline.timeout_seconds": 5,
            "data.source": "s3://bucket/clicks.parquet",
            "registry.tracking_uri": "http://mlflow:5000",
            "deployment.target": "kserve",
        }
    )
    server.shutdown()
    server.server_close()


def test_submit_uploads_the_pipeline_once_and_starts_runs_with_everything_named(config, fake, monkeypatch, capsys):
    monkeypatch.setenv("KFP_TOKEN", "sesame")
    first = KubeflowClient(config).submit("nightly-1")
    second = KubeflowClient(config).submit("nightly-2")
    assert len(fake.kept["pipelines"]) == len(fake.versions) == len(fake.kept["experiments"]) == 1
    assert [run["display_name"] for run in fake.kept["runs"]] == ["nightly-1", "nightly-2"]
    run = fake.kept["runs"][0]
    assert run["service_account"] == "trainer"
    assert run["runtime_config"]["pipeline_root"] == "s3://runs"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["data"]["source"] == "s3://bucket/clicks.parquet"
    assert parameters["workspace"] == "/tmp/liverank"
    assert parameters["run"] == "nightly-1"
    assert run["pipeline_version_reference"]["pipeline_version_id"] == fake.versions[0]["pipeline_version_id"]
    assert first.version == second.version == fake.versions[0]["display_name"]
    assert first.url.endswith(f"/#/runs/details/{first.id}")
    assert set(fake.tokens) == {"Bearer sesame"}
    assert capsys.readouterr().out == ""


def test_the_tuning_pipeline_has_a_name_and_parameters_of_its_own(config, fake):
    KubeflowClient(config).submit("search", tuning=True)
    (pipeline,) = fake.kept["pipelines"]
    assert pipeline["display_name"] == "liverank-tuning"
    (run,) = fake.kept["runs"]
    given = run["runtime_config"]["parameters"]
    assert given["tuning"]["trials"] == 40
    assert not {"deployment", "champion", "run"} & set(given)


def test_changed_pods_make_a_new_version(config, fake):
    KubeflowClient(config).submit("one")
    pods = config.pipeline.model_copy(
        update={
            "retries": 2,
            "train": config.pipeline.train.model_copy(update={"gpus": 1, "memory": "32Gi"}),
            "secrets": {"s3": {"key": "AWS_ACCESS_KEY_ID"}},
            "volumes": {"live": "/live"},
        }
    )
    KubeflowClient(config.model_copy(update={"pipeline": pods})).submit("two")
    assert len(fake.versions) == 2
    spec, platform = fake.versions[1]["spec"]
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"]["accelerator"] == {
        "count": "1",
        "resourceCount": "1",
        "resourceType": "nvidia.com/gpu",
        "type": "nvidia.com/gpu",
    }
    assert container["resources"]["resourceMemoryRequest"] == "32Gi"
    executor = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert executor["secretAsEnv"][0]["keyToEnv"] == [{"envVar": "AWS_ACCESS_KEY_ID", "secretKey": "key"}]
    assert executor["pvcMount"][0]["mountPath"] == "/live"
    assert spec["components"]["comp-condition-1"]["dag"]["tasks"]["train"]["retryPolicy"]["maxRetryCount"] == 2


def test_a_schedule_is_replaced_not_doubled_and_never_reads_the_cache(config, fake):
    KubeflowClient(config).schedule("nightly", "0 0 3 * * *")
    job = KubeflowClient(config).schedule("nightly", "0 0 4 * * *")
    assert [one["recurring_run_id"] for one in fake.kept["recurringruns"]] == [job.id]
    kept = fake.kept["recurringruns"][0]
    assert kept["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert kept["max_concurrency"] == 1
    assert kept["no_catchup"] is True
    tasks = fake.versions[0]["spec"][0]["root"]["dag"]["tasks"]
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks.values() if "cachingOptions" in task)


def test_a_refused_schedule_leaves_the_former_one(config, fake):
    former = KubeflowClient(config).schedule("nightly", "0 0 3 * * *")
    fake.fail["POST /apis/v2beta1/recurringruns"] = 400
    with pytest.raises(PipelineError, match=r"refuses \(400\): POST /apis/v2beta1/recurringruns is refused"):
        KubeflowClient(config).schedule("nightly", "every now and then")
    assert [one["recurring_run_id"] for one in fake.kept["recurringruns"]] == [former.id]


def test_the_trigger_starts_one_run_and_no_second_for_the_same_reason(config, fake):
    trigger = KfpTrigger(config)
    assert trigger.active() is None
    first = trigger.start(FACTS)
    assert first.started
    assert trigger.active() == first.run_id
    again = trigger.start(Facts(decision_id="d2", rule="r", reason="", model_version="3", cursor=1300, time=NOW))
    assert not again.started
    assert again.run_id == first.run_id
    fake.kept["runs"][0]["state"] = "SUCCEEDED"
    same = trigger.start(FACTS)
    assert (same.started, same.run_id) == (False, first.run_id)
    other = trigger.start(Facts(decision_id="d3", rule="r", reason="", model_version="3", cursor=1400, time=NOW))
    assert other.started
    assert [run["display_name"] for run in fake.kept["runs"]] == ["retrain-v3-1200", "retrain-v3-1400"]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED"])
def test_an_ended_run_is_not_active(config, fake, state):
    trigger = KfpTrigger(config)
    trigger.start(FACTS)
    fake.kept["runs"][0]["state"] = state
    assert trigger.active() is None


def test_a_host_that_does_not_answer_is_said_at_once(config):
    deaf = config.model_copy(update={"pipeline": config.pipeline.model_copy(update={"host": "http://127.0.0.1:9"})})
    with pytest.raises(
        PipelineError, match=r"Kubeflow Pipelines at http://127.0.0.1:9 does not answer: .*pipeline.host"
    ):
        KubeflowClient(deaf)


@pytest.mark.parametrize(
    ("status", "said"), [(401, "refuses the token"), (403, "refuses the token"), (404, "answers 404 where Kubeflow")]
)
def test_a_host_that_is_something_else_is_said(config, fake, status, said):
    fake.fail["healthz"] = status
    with pytest.raises(PipelineError, match=said):
        KubeflowClient(config)


def test_no_host_is_a_configuration_error():
    with pytest.raises(ConfigError, match=r"pipeline.host is not set"):
        KubeflowClient(Config())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("data.source", "/home/me/clicks.csv", "no pod can see"),
        ("data.live_store", "live.db", "no pod can see"),
        ("data.source", "", "Neither data.source nor data.live_store"),
        ("registry.tracking_uri", "sqlite:////home/me/mlflow.db", "ends with the pod"),
        ("registry.tracking_uri", "", "ends with the pod"),
        ("registry.tracking_uri", "http://me:secret@mlflow", "holds a password"),
        ("deployment.target", "local", "no model server"),
    ],
)
def test_what_only_this_machine_has_is_refused(config, fake, key, value, said):
    section, name = key.split(".")
    changed = getattr(config, section).model_copy(update={name: value})
    with pytest.raises(ConfigError, match=said):
        KubeflowClient(config.model_copy(update={section: changed})).submit("one")
    assert fake.kept["runs"] == []
