"""The local trigger: one run for one reason, on the live log, taken up again when it was cut short."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from liverank.config import Config, DataConfig, PipelineConfig
from liverank.config.remembered_data import remember_data
from liverank.errors import ConfigError, PipelineError
from monitoring.trigger import Facts, Trigger
from pipelines import triggers
from pipelines.local import LocalRun
from pipelines.run_lock import only_run
from pipelines.triggers import KfpTrigger, LocalTrigger, trigger_for, with_live_log

FACTS = Facts(
    decision_id="d1",
    rule="r",
    reason="NDCG fell",
    model_version="3",
    cursor=1200,
    time=datetime(2026, 1, 2, tzinfo=UTC),
)
REGISTERED = {"register": {"version": "4", "promoted": True}}


@pytest.fixture
def config(tmp_path) -> Config:
    return Config(workspace=str(tmp_path), data=DataConfig(source="clicks.csv"))


@pytest.fixture
def ran(monkeypatch):
    """Stands in for the run itself, which test_local and test_training_run cover; keeps the configurations."""
    seen: list[Config] = []

    def run_local(config, on_progress, run_id):
        seen.append(config)
        folder = config.workspace_path / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        if len(seen) == 1 and config.data.source == "broken":
            raise PipelineError("Step 'train' failed: no.")
        (folder / "ended").touch()
        return LocalRun(run_id, folder)

    monkeypatch.setattr(triggers, "run_local", run_local)
    monkeypatch.setattr(LocalRun, "outputs", REGISTERED)
    return seen


def test_a_run_reads_the_live_log_and_is_made_once(config, ran):
    trigger: Trigger = LocalTrigger(config)
    result = trigger.start(FACTS)
    assert (result.run_id, result.started, result.detail) == ("retrain-v3-1200", True, "version 4 is champion")
    assert ran[0].data.live_store == config.store_place
    again = trigger.start(FACTS)
    assert (again.started, again.detail) == (False, "this run has been made already")
    assert len(ran) == 1


def test_without_a_source_the_data_of_the_last_run_is_read(tmp_path, ran):
    remember_data(tmp_path, DataConfig(source="/data/clicks.csv", timezone="Europe/Paris"))
    config = Config(workspace=str(tmp_path))
    assert LocalTrigger(config).start(FACTS).started
    assert ran[0].data == DataConfig(source="/data/clicks.csv", timezone="Europe/Paris", live_store=config.store_place)


def test_the_live_log_alone_is_refused(tmp_path, ran):
    with pytest.raises(ConfigError, match=r"Set data\.source"):
        LocalTrigger(Config(workspace=str(tmp_path))).start(FACTS)
    assert ran == []


def test_a_damaged_memory_of_the_data_is_named(tmp_path, ran):
    (tmp_path / "data.json").write_text('{"source":')
    with pytest.raises(ConfigError, match=r"data\.json.* is damaged"):
        LocalTrigger(Config(workspace=str(tmp_path))).start(FACTS)


def test_a_failed_run_is_tried_again(config, ran):
    trigger = LocalTrigger(config.model_copy(update={"data": DataConfig(source="broken")}))
    with pytest.raises(PipelineError):
        trigger.start(FACTS)
    assert trigger.start(FACTS).started


def test_a_run_under_way_is_left_alone(config, ran):
    trigger = LocalTrigger(config)
    assert trigger.active() is None
    with only_run(config.workspace_path / "runs"):
        assert trigger.active()
        result = trigger.start(FACTS)
    assert not result.started
    assert "runs the pipeline already" in result.detail
    assert ran == []


def test_a_live_store_of_ones_own_stays(config):
    own = config.model_copy(update={"data": DataConfig(source="clicks.csv", live_store="/live/live.db")})
    assert with_live_log(own) == own


def test_the_configuration_chooses_the_trigger(config):
    assert isinstance(trigger_for(config), LocalTrigger)
    on_kubeflow = config.model_copy(update={"pipeline": PipelineConfig(host="http://kfp")})
    assert isinstance(trigger_for(on_kubeflow), KfpTrigger)
    assert Path(config.workspace).is_absolute()
