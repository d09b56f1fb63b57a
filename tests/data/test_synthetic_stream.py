"""The stream: the same bytes however it is cut and whoever generates, nothing half-written, large worlds in order."""

from __future__ import annotations

import filecmp

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.data import audience, synthetic_stream
from liverank.data.audience import Audience, cohorts
from liverank.data.dataset import ORDER, read_dataset, read_source
from liverank.data.dirt import KINDS
from liverank.data.synthetic import generate, synthetic_dataset
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.errors import ConfigError, DataError

SETTINGS = SyntheticSettings(
    users=400, items=150, days=12, seed=3, dirt=dict.fromkeys(KINDS, 0.03), bots=0.01, bot_lists=20
)


@pytest.fixture
def many_cohorts(monkeypatch):
    monkeypatch.setattr(audience, "COHORT", 64)


def same(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert len(names) == 6
    return filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def test_several_cohorts_make_one_world(many_cohorts, tmp_path):
    rows = generate(SETTINGS, tmp_path)
    assert len(cohorts(SETTINGS)) == 7
    dataset = read_dataset(tmp_path)
    assert rows == dataset.rows() == read_source(tmp_path)["rows"]
    users = dataset.tables["users"]["user_id"].to_pylist()
    assert users == [f"user-{n:06d}" for n in range(400)]
    for name, keys in ORDER.items():
        table = dataset.tables[name]
        order = pc.sort_indices(table, [(key, "ascending") for key in keys])
        assert table.take(order).select(list(keys)).equals(table.select(list(keys))), name
    lists = {row["impression_id"]: row for row in dataset.tables["impressions"].to_pylist()}
    sessions = {}
    for event in dataset.tables["interactions"].to_pylist():
        shown = lists[event["impression_id"]]
        assert (event["user_id"], event["session_id"]) == (shown["user_id"], shown["session_id"])
        assert sessions.setdefault(event["session_id"], event["user_id"]) == event["user_id"]


def test_the_windows_of_time_leave_no_trace_in_the_rows(many_cohorts, monkeypatch):
    whole = synthetic_dataset(SETTINGS)
    monkeypatch.setattr(synthetic_stream, "_LINES_AT_ONCE", 3000)
    cut = synthetic_dataset(SETTINGS)
    assert cut.tables["impressions"].column("shown").num_chunks > 10
    for name, table in whole.tables.items():
        assert cut.tables[name].equals(table), name
    assert sorted(cut.rejected["row"].to_pylist()) == sorted(whole.rejected["row"].to_pylist())


def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    settings = SyntheticSettings(users=140, items=120, days=9, shown=100, seed=2)
    # Cohorts are small where everybody sees much; a limit keeps the lists few all the same.
    settings = settings.model_copy(update={"impressions_per_user": 600.0, "most_impressions": 5})
    assert cohorts(settings) == [(0, 66), (66, 66), (132, 8)]
    for name, processes in (("one", 1), ("two", 2)):
        generate(settings, tmp_path / name, processes)
    assert same(tmp_path / "one", tmp_path / "two")


def test_a_user_is_the_same_in_its_cohort_and_in_the_whole(many_cohorts):
    whole, day = Audience(SETTINGS, cohorts(SETTINGS)), np.full(400, 3.0)
    tastes = whole.taste(np.arange(400), day)
    for first, count in cohorts(SETTINGS):
        part = Audience(SETTINGS, [(first, count)])
        assert np.array_equal(part.taste(np.arange(count), day[:count]), tastes[first : first + count])
        assert np.array_equal(part.bots, whole.bots[first : first + count])


def test_an_interrupted_run_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    out = tmp_path / "world"
    generate(SETTINGS, out)
    made = synthetic_stream._Merge._interactions
    calls = []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return made(self, *arguments)

    monkeypatch.setattr(synthetic_stream, "_LINES_AT_ONCE", 3000)
    monkeypatch.setattr(synthetic_stream._Merge, "_interactions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(SETTINGS.model_copy(update={"seed": 4}), out)
    assert not (out / ".partial").exists()
    with pytest.raises(DataError, match="not a dataset folder"):
        read_source(out)


def test_what_a_killed_run_left_is_no_hindrance(tmp_path):
    (tmp_path / "world" / ".partial" / "aside").mkdir(parents=True)
    made = CliRunner().invoke(
        app, ["generate", str(tmp_path / "world"), "--users", "20", "--items", "30", "--days", "2"]
    )
    assert made.exit_code == 0, made.output
    assert pq.read_metadata(tmp_path / "world" / "items.parquet").num_rows == 30


def run(*arguments):
    return CliRunner().invoke(app, ["generate", *map(str, arguments)], catch_exceptions=False)


def test_presets_flags_and_settings_go_over_one_another(tmp_path):
    size = ("--users", 20, "--items", 30, "--days", 2)
    run(tmp_path, "--like", "shop", *size, "--dirt", 0.06, "-s", "dirt.late=0.5", "-s", "seed=3", "-s", "shown=5")
    made = SyntheticSettings.model_validate(read_source(tmp_path)["generator"])
    assert (made.users, made.seed, made.shown, made.repeat_share) == (20, 3, 5, 1)
    assert (made.dirt.late, made.dirt.duplicate) == (0.5, 0.01)


def test_what_a_user_mistypes_is_one_line(tmp_path):
    for key, said in (
        ("shwon=5", "shwon: Extra inputs"),
        ("dirt.lat=1", "dirt.lat"),
        ("bots=2", "bots: Input should be"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(tmp_path, "-s", key)
    with pytest.raises(ConfigError, match="must lie between least_impressions"):
        run(tmp_path, "-s", "least_impressions=50")
    assert list(tmp_path.iterdir()) == []
