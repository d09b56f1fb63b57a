"""A TrainJob: what it is made of, that one is not started twice, and what comes back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from liverank.config import TrainingConfig, training_section
from liverank.errors import ConfigError, TrainingError
from liverank.ranking.fit import FitSummary
from liverank.ranking.launch import _options, read_config, write_answer
from liverank.ranking.start_training import start_training
from liverank.ranking.trainjob import ABSENT, COMPLETE, FAILED, RUNNING, Job, job_of, run_trainjob

SUMMARY = FitSummary("b" * 64, "d" * 64, {"interest": 1.0}, {"blend": 0.5}, {}, [], {"processes": 4})


def config_of(workspace: Path, **more) -> TrainingConfig:
    job = {"image": "an-image", "gpus": 2, "volumes": {"work": str(workspace)}, "timeout_hours": 1, **more}
    return training_section({"launch": {"mode": "trainjob", "nodes": 2, "trainjob": job}})


@pytest.fixture
def features(tmp_path) -> Path:
    folder = tmp_path / "elsewhere" / "features"
    folder.mkdir(parents=True)
    (folder / "split.json").write_text('{"hash": "h"}')
    return folder


class FakeJobs:
    """Jobs that go through some states, one a look, and do a training's work when they are complete."""

    def __init__(self, *states: str, there: str = ABSENT) -> None:
        self.states, self.now, self.created, self.deleted = list(states), there, [], []
        self.taken = False
        """Whether somebody else makes the job just before we do."""
        self.answer: dict = {"summary": asdict(SUMMARY)}
        self.stage: Path | None = None

    def create(self, job: Job) -> bool:
        self.stage = Path(next(one.removeprefix("--out=") for one in job.arguments if one.startswith("--out="))).parent
        assert (self.stage / "features" / "split.json").is_file()
        assert not (self.stage / "answer.json").exists()
        self.now = "Created"
        if self.taken:
            return False
        self.created.append(job)
        return True

    def status(self, name: str) -> str:
        found = self.now
        if self.now not in (ABSENT, COMPLETE, FAILED) and self.states:
            self.now = self.states.pop(0)
            if self.now == COMPLETE:
                self.work()
        return found

    def work(self) -> None:
        assert self.stage is not None
        (self.stage / "bundle").mkdir()
        (self.stage / "bundle" / "manifest.json").write_text("{}")
        write_answer(self.stage / "answer.json", self.answer)

    def logs(self, name: str):
        return iter([f"log of {name}"])

    def delete(self, name: str) -> None:
        self.deleted.append(name)
        self.now = ABSENT


def ran(features: Path, tmp_path: Path, jobs: FakeJobs, **more) -> FitSummary:
    checkpoints = tmp_path / "workspace" / "checkpoints"
    jobs.stage = checkpoints / job_of(features, config_of(tmp_path / "workspace"), checkpoints).name
    config = config_of(tmp_path / "workspace")
    return run_trainjob(features, tmp_path / "out", config, checkpoints, jobs, lambda seconds: None, **more)


def test_the_bundle_comes_back_and_nothing_is_left(features, tmp_path, capsys):
    jobs = FakeJobs("Created", RUNNING, RUNNING, COMPLETE)
    assert ran(features, tmp_path, jobs) == SUMMARY
    assert (tmp_path / "out" / "manifest.json").is_file()
    assert list((tmp_path / "workspace" / "checkpoints").iterdir()) == []
    said = capsys.readouterr().err
    assert said.count("log of liverank-train-") == 1


def test_a_job_that_is_under_way_is_waited_for(features, tmp_path):
    jobs = FakeJobs(RUNNING, COMPLETE, there="Created")
    assert ran(features, tmp_path, jobs) == SUMMARY
    assert jobs.created == []


def test_a_job_that_somebody_made_at_the_same_time_is_waited_for(features, tmp_path):
    jobs = FakeJobs(COMPLETE)
    jobs.taken = True
    assert ran(features, tmp_path, jobs) == SUMMARY
    assert jobs.created == []


@pytest.mark.parametrize("there", [FAILED, COMPLETE])
def test_a_job_that_ended_without_a_result_is_started_again(features, tmp_path, there):
    jobs = FakeJobs(COMPLETE, there=there)
    assert ran(features, tmp_path, jobs) == SUMMARY
    assert jobs.deleted == [jobs.created[0].name]


def test_why_a_job_failed_is_said(features, tmp_path):
    jobs = FakeJobs(FAILED)
    with pytest.raises(TrainingError, match=r"in TrainJob liverank-train-\w{12} ended \(Failed\)"):
        ran(features, tmp_path, jobs)
    jobs = FakeJobs(COMPLETE)
    jobs.answer = {"error": "the data is bad.", "hint": "Mend it."}
    with pytest.raises(TrainingError, match=r"the data is bad\. Mend it\."):
        ran(features, tmp_path, jobs)


def test_a_job_that_never_starts_is_given_up(features, tmp_path):
    clock = iter(range(0, 10**6, 1000))
    with pytest.raises(TrainingError, match="is Created after 1 hours"):
        ran(features, tmp_path, FakeJobs(), clock=lambda: float(next(clock)))


def test_the_name_says_data_and_configuration(features, tmp_path):
    config, checkpoints = config_of(tmp_path), tmp_path / "checkpoints"
    name = job_of(features, config, checkpoints).name
    assert job_of(features, config, checkpoints).name == name
    assert job_of(features, config.model_copy(update={"seed": 8}), checkpoints).name != name
    (features / "split.json").write_text('{"hash": "other"}')
    assert job_of(features, config, checkpoints).name != name


def test_a_workspace_on_no_volume_is_said(features, tmp_path):
    config = config_of(tmp_path / "a")
    with pytest.raises(ConfigError, match=r"lies on none of training\.launch\.trainjob\.volumes"):
        start_training(features, tmp_path / "out", config, tmp_path / "b" / "checkpoints", FakeJobs())


def test_the_entry_module_takes_the_jobs_arguments(features, tmp_path):
    config = config_of(tmp_path)
    job = job_of(features, config, tmp_path / "checkpoints")
    processes, module, name, *given = job.arguments
    assert (processes, module, name) == ("--nproc-per-node=2", "-m", "liverank.ranking.launch")
    options = _options(given)
    assert read_config(options.config) == config
    assert options.features.parent == options.out.parent == options.answer.parent == tmp_path / "checkpoints" / job.name
    assert json.loads(options.config)["launch"]["nodes"] == job.nodes == 2
