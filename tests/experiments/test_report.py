"""From the records of a live store, or of a dataset folder, to what `liverank experiment report` says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from liverank.cli.main import app, register_commands
from liverank.config import FeatureConfig, load_config
from liverank.config.experiment import ExperimentConfig
from liverank.errors import ConfigError, DataError, LiverankError
from liverank.events import ExperimentArm, Impression, Interaction, Record, ShownItem, to_table
from liverank.experiments.interleaving import team_draft
from liverank.experiments.outcomes import Outcomes
from liverank.experiments.report import ExperimentReport, report
from liverank.store import open_store

START = datetime(2026, 3, 1, tzinfo=UTC)
CLICKS, PURCHASES = frozenset({"click"}), frozenset({"purchase"})


def shown(number: int, user: str, arm: ExperimentArm, items: Sequence[str] = "abcd", **more: Any) -> Impression:
    lines = [ShownItem(item_id=item, position=place) for place, item in enumerate(items, 1)]
    at = START + timedelta(seconds=number)
    return Impression(impression_id=f"i{number}", user_id=user, timestamp=at, shown=lines, experiment_arm=arm, **more)


def answer(number: int, user: str, item: str = "a", kind: str = "click", name: str = "e") -> Interaction:
    at = START + timedelta(seconds=number + 0.5)
    return Interaction(
        event_id=f"{name}{number}{item}{kind}",
        user_id=user,
        item_id=item,
        type=kind,
        timestamp=at,
        impression_id=f"i{number}",
    )


def split_traffic(means: dict[str, float], lists: int = 4000, users: int = 1500, seed: int = 1) -> Iterator[Record]:
    rng = np.random.default_rng(seed)
    names = list(means)
    for number, user in enumerate(rng.integers(users, size=lists).tolist()):
        variant = names[user % len(names)]
        yield shown(number, f"u{user}", ExperimentArm(name="spring", variant=variant))
        if rng.random() < means[variant]:
            yield answer(number, f"u{user}")


def duel(likes_new: float, lists: int = 3000, users: int = 1000, seed: int = 1) -> Iterator[Record]:
    """Two rankings in opposite order; users click the best of the new one with this chance, else the control's."""
    rng = np.random.default_rng(seed)
    names, rankings = ("control", "new"), ([0, 1, 2, 3], [3, 2, 1, 0])
    for number, user in enumerate(rng.integers(users, size=lists).tolist()):
        order, teams = team_draft(*rankings, str(number))
        arm = ExperimentArm(name="duel", teams=[names[team] for team in teams])
        yield shown(number, f"u{user}", arm, ["abcd"[row] for row in order])
        if rng.random() < 0.4:
            yield answer(number, f"u{user}", "d" if rng.random() < likes_new else "a")


def told(records: Sequence[Record], name: str = "", metric: str = "ctr", **more: Any) -> ExperimentReport:
    return report(lambda: records, name, metric, FeatureConfig(), more.get("configured"), 0.05, 2000)


def configured(**shares: float) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {"name": "spring", "variants": {name: {"share": share} for name, share in shares.items()}}
    )


def test_a_better_variant_is_told_and_an_equal_one_is_not() -> None:
    found = told(list(split_traffic({"control": 0.1, "better": 0.2, "equal": 0.1}, lists=9000)))
    assert [each.name for each in found.variants] == ["control", "better", "equal"]
    control, better, equal = found.variants
    assert better.difference is not None
    assert equal.difference is not None
    assert (better.difference.verdict, equal.difference.verdict) == ("better", "cannot be told")
    assert better.difference.last.estimate == pytest.approx(better.mean - control.mean)
    assert better.lift == pytest.approx(better.mean / control.mean - 1)
    low, high = better.difference.last.low, better.difference.last.high
    assert low is not None
    assert high is not None
    assert low < 0.1 < high
    assert better.difference.p_value < 0.025 < equal.difference.p_value
    assert (found.lists, found.users) == (9000, sum(each.users for each in found.variants))
    assert control.lists + better.lists + equal.lists == 9000


def test_several_variants_share_the_level() -> None:
    records = list(split_traffic({"control": 0.1, "new": 0.1}, lists=3000))
    third = [shown(10_000, "x", ExperimentArm(name="spring", variant="third"))]
    alone, together = told(records).variants[1].difference, told([*records, *third]).variants[1].difference
    assert alone is not None
    assert together is not None
    widths = [(of.last.high or 0) - (of.last.low or 0) for of in (alone, together)]
    assert widths[1] > widths[0]


def test_few_users_have_no_interval_yet() -> None:
    found = told(list(split_traffic({"control": 0.1, "new": 0.9}, lists=150, users=150)))
    new = found.variants[1].difference
    assert new is not None
    assert (new.last.low, new.p_value, new.verdict) == (None, 1.0, "cannot be told")
    assert any("begins with 100 users" in warning for warning in found.warnings)


def test_users_who_came_in_other_shares_are_told() -> None:
    records = list(split_traffic({"control": 0.1, "new": 0.1}))
    fine = told(records, configured=configured(control=0.5, new=0.5))
    assert fine.ratio is not None
    assert not fine.ratio.mismatch
    assert fine.warnings == []
    lost = [r for r in records if r.user_id[-1] not in "13"]  # type: ignore[union-attr]
    broken = told(lost, configured=configured(control=0.5, new=0.5))
    assert broken.ratio is not None
    assert broken.ratio.mismatch
    assert "Sample ratio mismatch" in broken.warnings[0]
    assert "not checked" in told(records).warnings[0]


def test_users_of_two_variants_and_lists_of_the_controls_model_are_told() -> None:
    records = [
        shown(1, "a", ExperimentArm(name="spring", variant="control")),
        shown(2, "a", ExperimentArm(name="spring", variant="new"), degraded=["experiment: new cannot be served"]),
    ]
    warnings = told(records).warnings
    assert any(warning.startswith("1 users have lists of more than one variant") for warning in warnings)
    assert any(warning.startswith("1 of the 1 lists of new are the control's") for warning in warnings)


def test_interleaved_lists_tell_who_is_preferred() -> None:
    found = told(list(duel(0.65)))
    of = found.preference
    assert of is not None
    assert (found.mode, of.variant, of.share.verdict) == ("interleave", "new", "better")
    assert of.wins + of.losses + of.ties == found.lists == 3000
    assert of.share.last.estimate == pytest.approx(0.65, abs=0.05)
    assert of.first_p_value < 0.01
    assert 300 < sum(of.firsts) <= 1000


def test_interleaved_lists_of_equals_seldom_tell_anything() -> None:
    told_of = [told(list(duel(0.5, lists=1000, users=300, seed=seed))).preference for seed in range(30)]
    alarms = [(of.share.decided_after is not None, of.first_p_value <= 0.05) for of in told_of if of is not None]
    # Binomial(30, 0.05) exceeds 4 with a chance of one percent.
    assert max(np.sum(alarms, 0)) <= 4


def test_a_list_with_as_many_answers_for_either_is_a_tie() -> None:
    arm = ExperimentArm(name="duel", teams=["new", "control", "new", ""])
    records = [
        shown(1, "u", arm),
        answer(1, "u", "a"),
        answer(1, "u", "b"),
        shown(2, "v", arm),
        answer(2, "v", "a"),
        answer(2, "v", "a", name="again"),
        answer(2, "v", "b"),
        answer(2, "v", "c"),
        shown(3, "w", arm),
        answer(3, "w", "d"),
    ]
    of = told(records).preference
    assert of is not None
    assert (of.wins, of.losses, of.ties, of.firsts) == (1, 0, 2, (2, 0))


@pytest.mark.parametrize(
    ("metric", "expected"), [("ctr", 1.0), ("conversion", 0.0), ("ndcg", (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)))]
)
def test_what_a_list_earns(metric: str, expected: float) -> None:
    records = [
        shown(1, "u", ExperimentArm(name="spring", variant="new")),
        answer(1, "u", "c"),
        answer(1, "u", "c", name="again"),
        answer(1, "u", "a"),
        answer(1, "u", "zebra"),
        answer(1, "stranger", "b"),
        answer(1, "u", "b", "view"),
        answer(2, "u", "a"),
        shown(3, "u", ExperimentArm(name="autumn", variant="new")),
        answer(3, "u", "a"),
    ]
    steps = list(Outcomes("spring", metric, CLICKS, PURCHASES).steps(records))
    assert sum(step.outcome for step in steps) == pytest.approx(expected)
    assert sum(step.lists for step in steps) == 1


def test_without_an_experiment_it_says_so() -> None:
    with pytest.raises(DataError, match="No list belongs to an experiment"):
        told([])
    with pytest.raises(DataError, match=r"'autumn'.*\n?.*spring"):
        told(list(split_traffic({"control": 0.1, "new": 0.1}, lists=10)), "autumn")
    with pytest.raises(DataError, match="of its control"):
        told([shown(1, "u", ExperimentArm(name="spring", variant="new"))])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    store = open_store(tmp_path / "live.db")
    store.append(list(split_traffic({"control": 0.1, "new": 0.25})))
    store.close()
    return tmp_path


def command(*arguments: str) -> Any:
    register_commands()
    return CliRunner().invoke(app, ["experiment", "report", *arguments])


def test_the_command_on_a_live_store(workspace: Path) -> None:
    done = command("--set", f"workspace={workspace}", "--json", "--tightest", "2000")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["experiment"], said["mode"], said["lists"]) == ("spring", "split", 4000)
    assert said["variants"][1]["difference"]["verdict"] == "better"
    page = (workspace / "experiment.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "new: better" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    plain = command("--set", f"workspace={workspace}")
    assert plain.exit_code == 0
    assert "spring: 4,000 lists of" in plain.stdout


def test_the_command_on_a_dataset_folder_says_the_same(workspace: Path, tmp_path: Path) -> None:
    records = list(split_traffic({"control": 0.1, "new": 0.25}))
    folder = tmp_path / "data"
    folder.mkdir()
    for table, kind in (("impressions", Impression), ("interactions", Interaction)):
        pq.write_table(to_table([r for r in records if isinstance(r, kind)], table), folder / f"{table}.parquet")
    options = ("--set", f"workspace={workspace}", "--json")
    assert command(*options, "--data", str(folder)).stdout == command(*options).stdout


def test_the_command_on_an_interleaved_experiment(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    store.append(list(duel(0.7)))
    store.close()
    done = command("--set", f"workspace={tmp_path}")
    assert done.exit_code == 0, done.output
    assert "exact p" in done.stdout
    assert "new: better" in (tmp_path / "experiment.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ([], DataError, "no live store"),
        (["--data", "nowhere"], DataError, "There is no"),
        (["--level", "2"], ConfigError, "--level"),
        (["--data", "a", "--store", "b"], ConfigError, "Name one"),
    ],
)
def test_bad_arguments_end_with_2(tmp_path: Path, arguments: list[str], kind: type[LiverankError], said: str) -> None:
    done = command("--set", f"workspace={tmp_path}", *arguments)
    assert isinstance(done.exception, kind)
    assert said in str(done.exception)
    assert done.exception.exit_code == 2


def test_the_page_of_an_empty_store_is_not_written(tmp_path: Path) -> None:
    open_store(tmp_path / "live.db").close()
    done = command("--set", f"workspace={tmp_path}", "--store", str(tmp_path / "live.db"))
    assert isinstance(done.exception, DataError)
    assert not (tmp_path / "experiment.html").exists()
    assert load_config(None, {"workspace": str(tmp_path)}).serving.experiment is None
