"""The closed loop on a real store: calm, a model that suffers, the cool-down, the next champion, interruptions."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import jsonschema
import msgspec
import pytest
from rich.console import Console

from liverank.errors import DataError, PipelineError
from liverank.store import open_store
from monitoring.columns import WATCHED
from monitoring.decision import DecisionRecord, decision_schema, list_decisions, read_decision
from monitoring.loop import check, recorded
from monitoring.quality import ALL
from monitoring.show import detail
from monitoring.state import MonitorBusy, alone, load_state
from monitoring.trigger import NoTrigger
from tests.monitoring.traffic import START, Clock, CountingTrigger, FixedModels, Traffic, config, decisions_of, past

HOUR = timedelta(hours=1)


class Scene:
    """A workspace with a store, models of two versions, a clock and a trigger."""

    def __init__(self, workspace: Path, source: str = "impressions", **settings: object) -> None:
        self.config = config(workspace, **settings)
        self.store = open_store(workspace / "live.db")
        self.store.append(past())
        self.models = FixedModels({name: Traffic(90).table(600, source) for name in ("1", "2")})
        self.clock, self.trigger = Clock(), CountingTrigger()

    def look(self, **options: object) -> DecisionRecord:
        record = check(self.config, self.store, self.models, self.clock, self.trigger, **options)  # type: ignore[arg-type]
        self.clock.forward(60)
        return record

    def all_windows(self) -> list[DecisionRecord]:
        found = []
        while recorded(record := self.look()):
            found.append(record)
        return found

    @property
    def state(self):
        return load_state(self.config.workspace_path / "monitoring", self.clock())


@pytest.fixture
def scene(tmp_path, few_columns):
    made = Scene(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def few_columns(monkeypatch):
    """Evidently draws a plot a column: for what does not look at them, one column and one slice will do."""
    monkeypatch.setattr("monitoring.columns.WATCHED", [one for one in WATCHED if one.name == "surface"])
    monkeypatch.setattr("monitoring.reports.slices", lambda table, _: [(ALL, table)])


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Calm, then a model that suffers, then its successor: what a reader of the records would see."""
    scene = Scene(tmp_path_factory.mktemp("story"))
    scene.store.append(Traffic(1).records(400))
    calm = scene.all_windows()
    scene.store.append(Traffic(2, good=0.05).records(600, at=START + 5 * HOUR))
    suffering = scene.all_windows()
    scene.store.append(Traffic(3, good=0.05).records(50, at=START + 11 * HOUR))
    scene.store.append(Traffic(4).records(400, "2", at=START + 12 * HOUR))
    recovered = scene.all_windows()
    yield scene, calm, suffering, recovered
    scene.store.close()


def test_a_bad_window_fires_once_and_the_cool_down_holds(story):
    scene, calm, suffering, recovered = story
    assert decisions_of(calm) == [("none", "healthy")] * 2
    assert decisions_of(suffering) == [("retrain", "quality-loss"), ("none", "cool-down"), ("none", "cool-down")]
    assert decisions_of(recovered) == [("none", "healthy")] * 2
    assert [facts.rule for facts in scene.trigger.asked] == ["quality-loss"]


def test_the_next_champion_is_judged_by_its_own_reference(story):
    _, calm, suffering, recovered = story
    assert [record.model_version for record in recovered] == ["2", "2"]
    assert [record.reference for record in (*calm, *recovered)] == ["evaluation", "first window"] * 2
    assert {record.reference for record in suffering} == {"first window"}
    # The 50 impressions that the old model served after its last full window are passed over.
    assert recovered[0].window.start > suffering[-1].window.end + 50


def test_the_record_says_what_was_seen_and_what_it_costs(story):
    _, _, (fired, held, _), _ = story
    assert fired.quality.loss > 0.3
    assert fired.quality.loss_low > 0.1
    assert fired.window.impressions == 200
    assert fired.window.judged == fired.quality.n_window
    assert len(fired.window.clicks_by_position) == 10
    assert fired.window.model_age == (fired.time - (START - 48 * HOUR)).total_seconds()
    assert {finding.outcome for finding in fired.columns} <= {"stable", "drifted", "left out"}
    assert {"top_text", "clicked_text", "top_score", "surface"} <= {finding.column for finding in fired.columns}
    assert fired.trigger.started
    assert fired.trigger.run_id == fired.facts.run_name
    assert held.cause == "quality-loss"
    assert held.trigger is None


def test_records_are_kept_and_follow_their_schema(story):
    scene, *chapters = story
    folder = scene.config.workspace_path / "decisions"
    made = [record for chapter in chapters for record in chapter]
    assert list_decisions(folder, 100) == made[::-1]
    assert list_decisions(folder, 2) == made[:-3:-1]
    for record in made:
        text = (folder / f"{record.id}.json").read_bytes()
        assert msgspec.json.decode(text, type=DecisionRecord) == record
        jsonschema.validate(msgspec.json.decode(text), decision_schema())
        assert b"user-" not in text
    assert read_decision(folder, made[0].id[:18]) == made[0]


def test_reports_are_whole_pages_and_evidently_runs(story):
    from evidently.ui.workspace import Workspace

    scene, calm, suffering, recovered = story
    workspace = scene.config.workspace_path
    for record in (*calm, *suffering, *recovered):
        page = (workspace / record.reports["html"]).read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', page)
        assert "quality" not in page or page.rstrip().endswith("</html>")
        assert (workspace / record.reports["evidently"]).is_file()
    (project,) = Workspace.create(str(workspace / "evidently")).list_projects()
    runs = Workspace.create(str(workspace / "evidently")).list_runs(project.id)
    assert len(runs) == len((*calm, *suffering, *recovered))


def test_old_pages_go_and_records_stay(tmp_path, few_columns):
    scene = Scene(tmp_path, keep_reports=1, window_impressions=100)
    scene.store.append(Traffic(1).records(200))
    first, second = scene.all_windows()
    assert not (tmp_path / first.reports["html"]).exists()
    assert (tmp_path / second.reports["html"]).exists()
    assert len(list_decisions(tmp_path / "decisions", 9)) == 2


def test_an_interrupted_start_is_asked_for_again_under_the_same_name(scene):
    scene.store.append(Traffic(2, good=0.05).records(200))
    scene.trigger.problem = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        scene.look()
    assert scene.state.pending
    half = list_decisions(scene.config.workspace_path / "decisions", 9)
    assert [(record.action, record.trigger) for record in half] == [("retrain", None)]
    scene.trigger.problem = None
    resumed = scene.look()
    assert resumed.id == half[0].id
    assert len({facts.run_name for facts in scene.trigger.asked}) == 1
    assert not scene.state.pending
    # What began before the crash counts: the next bad window is held.
    scene.store.append(Traffic(3, good=0.05).records(200, at=START + 5 * HOUR))
    assert decisions_of(scene.all_windows()) == [("none", "cool-down")]


def test_a_crash_before_the_decision_judges_the_same_window_again(scene, monkeypatch):
    scene.store.append(Traffic(2, good=0.05).records(200))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("monitoring.loop.write_decision", crash)
        with pytest.raises(KeyboardInterrupt):
            scene.look()
    assert scene.trigger.asked == []
    assert decisions_of(scene.all_windows()) == [("retrain", "quality-loss")]
    assert len(scene.trigger.asked) == 1


def test_a_trigger_that_fails_is_recorded_and_not_hammered(scene):
    scene.store.append(Traffic(2, good=0.05).records(400))
    scene.trigger.problem = PipelineError("The server does not answer.")
    fired, held = scene.all_windows()
    assert not fired.trigger.started
    assert "does not answer" in fired.trigger.detail
    assert held.rule == "cool-down"
    assert "a run failed 60 s ago" in held.reason
    console = Console(width=200)
    with console.capture() as shown:
        console.print(detail(fired))
    assert f"Run {fired.facts.run_name}: failed. The server does not answer." in shown.get()


def test_the_budget_ends_the_runs(tmp_path, few_columns):
    scene = Scene(tmp_path, cooldown_seconds=0, budget_runs=1, window_impressions=100)
    scene.store.append(Traffic(2, good=0.05).records(200))
    assert decisions_of(scene.all_windows()) == [("retrain", "quality-loss"), ("none", "budget")]
    scene.clock.forward(86400)
    scene.store.append(Traffic(3, good=0.05).records(100, at=START + 5 * HOUR))
    assert decisions_of(scene.all_windows()) == [("retrain", "quality-loss")]


def test_failed_runs_spend_the_budget(tmp_path, few_columns):
    scene = Scene(tmp_path, cooldown_seconds=0, budget_runs=2, window_impressions=100)
    scene.trigger.problem = PipelineError("Step 'deploy' failed: The model server does not answer.")
    scene.store.append(Traffic(2, good=0.05).records(300))
    first, second, held = scene.all_windows()
    assert first.trigger.failed
    assert second.trigger.failed
    assert (held.rule, held.trigger) == ("budget", None)
    assert "2 runs (2 failed)" in held.reason


def test_the_schedule_is_the_floor_without_any_traffic(tmp_path):
    scene = Scene(tmp_path, schedule_seconds=7200)
    assert scene.look().rule == "too-few-impressions"
    scene.clock.forward(7200)
    due = scene.look()
    assert (due.action, due.rule, due.window) == ("retrain", "schedule", None)
    scene.clock.forward(3600)
    assert scene.look().action == "none"
    scene.clock.forward(3600)
    assert scene.look().rule == "schedule"
    assert len({facts.run_name for facts in scene.trigger.asked}) == 2
    assert len(list_decisions(tmp_path / "decisions", 9)) == 2


def test_nothing_is_late_where_nothing_is_started(tmp_path):
    scene = Scene(tmp_path, schedule_seconds=1)
    scene.trigger = NoTrigger()  # type: ignore[assignment]
    scene.look()
    assert scene.look().action == "none"


def test_a_run_under_way_holds(scene):
    scene.trigger.busy = "run-7"
    scene.store.append(Traffic(2, good=0.05).records(200))
    (held,) = scene.all_windows()
    assert (held.rule, held.cause) == ("run-already-active", "quality-loss")
    assert scene.trigger.asked == []


def test_too_little_traffic_waits_and_says_how_much_there_is(scene):
    scene.store.append(Traffic(2, good=0.05).records(150))
    waiting = scene.look()
    assert not recorded(waiting)
    assert "150 of 200" in waiting.reason
    now = scene.look(wait=False)
    assert now.window.impressions == 150
    scene.store.append(Traffic(3).records(99, at=START + 5 * HOUR))
    assert "at least 100" in scene.look(wait=False).reason
    assert len(list_decisions(scene.config.workspace_path / "decisions", 9)) == 1


def test_a_window_without_answers_cannot_be_judged(scene):
    scene.store.append(Traffic(2, answered=0.05).records(200))
    (record,) = scene.all_windows()
    assert record.rule == "too-few-impressions"
    assert "answered" in record.reason
    assert any("answered of all lost" in warning for warning in record.warnings)


def test_made_up_lists_are_no_reference_for_live_ones(tmp_path):
    scene = Scene(tmp_path, source="retriever")
    scene.store.append(Traffic(1).records(200))
    scene.store.append(Traffic(2, good=0.05).records(200, at=START + 5 * HOUR))
    first, second = scene.all_windows()
    assert (first.rule, first.reference, first.quality) == ("no-reference", "", None)
    assert (second.rule, second.reference) == ("quality-loss", "first window")
    assert {one.outcome for one in first.columns if one.group == "list"} == {"left out"}
    assert "drifted" not in {one.outcome for one in second.columns if one.group == "list"}


@pytest.mark.parametrize("unlike", ["cold users", "longer lists"])
def test_requests_unlike_the_test_requests_are_no_loss(scene, tmp_path_factory, unlike, monkeypatch):
    """Without histories, or on longer lists, the same model ranks worse; retraining would not help."""
    monkeypatch.undo()
    if unlike == "cold users":
        scene.store.close()
        scene.store = open_store(tmp_path_factory.mktemp("cold") / "live.db")
    else:
        monkeypatch.setattr("tests.monitoring.traffic.SHOWN", 40)
    scene.store.append(Traffic(2, good=0.3).records(400))
    scene.store.append(Traffic(3, good=0.0).records(200, at=START + 9 * HOUR))
    first, second, third = scene.all_windows()
    assert (first.rule, first.reference) == ("no-reference", "")
    assert any("requests differ from the test requests" in warning for warning in first.warnings)
    assert (second.rule, second.reference) == ("healthy", "first window")
    assert third.rule == "quality-loss"


def test_a_bad_first_window_never_becomes_the_reference(scene):
    scene.store.append(Traffic(2, good=0.05).records(400))
    records = scene.all_windows()
    assert [record.reference for record in records] == ["evaluation", "evaluation"]
    assert not (scene.config.workspace_path / "monitoring" / "baselines").exists()


def test_a_new_store_is_read_from_its_beginning(scene, tmp_path_factory):
    scene.store.append(Traffic(1).records(400))
    scene.all_windows()
    scene.store.close()
    scene.store = open_store(tmp_path_factory.mktemp("new") / "live.db")
    scene.store.append([*past(), *Traffic(5).records(200)])
    assert decisions_of(scene.all_windows()) == [("none", "healthy")]


def test_one_monitor_at_a_time(scene):
    with alone(scene.config.workspace_path / "monitoring"), pytest.raises(MonitorBusy, match="Another monitor"):
        scene.look()


def test_damaged_state_and_records_are_named(scene):
    scene.look()
    folder = scene.config.workspace_path / "monitoring"
    (folder / "state.json").write_text('{"since":')
    with pytest.raises(DataError, match=r"state\.json"):
        scene.look()
    with pytest.raises(DataError, match="no decision 'x'"):
        read_decision(folder, "x")


def test_calm_traffic_starts_nothing_for_twenty_windows(tmp_path, few_columns):
    scene = Scene(tmp_path, window_impressions=100)
    scene.store.append(Traffic(7).records(2000))
    assert decisions_of(scene.all_windows()) == [("none", "healthy")] * 20
    assert scene.trigger.asked == []
