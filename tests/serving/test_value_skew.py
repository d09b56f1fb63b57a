"""A day of lists is served by a real model from a real store; then the log is asked whether the values were right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.config import Config, DataConfig
from liverank.errors import BundleError, LiverankError
from liverank.events import Impression, Item
from liverank.features import skew, value_causes
from liverank.features.build import build_features
from liverank.features.daily import day_of
from liverank.features.skew import SkewReport, check_skew, impressions_since
from liverank.features.value_skew import ValueCheck
from liverank.ranking.bundle_files import load_feature_ranker
from liverank.ranking.feature_ranker import FeatureRanker
from liverank.ranking.fit import fit
from liverank.store import open_store
from monitoring.columns import WATCHED
from monitoring.judgement import Judgement, judge
from monitoring.models import load_served
from monitoring.window import read_window
from serving.feature_log import sampled
from tests.features.conftest import at, write
from tests.features.test_online import STRANGER, items, traffic
from tests.serving.conftest import Server
from tests.serving.served_day import (
    CUT,
    FEATURES,
    LENGTH,
    SERVED,
    TRAILING,
    TRAINING,
    Day,
    more_counts,
    other_decay,
    other_items,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained with candidate features on the first days of the world."""
    base = tmp_path_factory.mktemp("trained")
    events, lists = traffic(8)
    known = [one for one in events if max(one.timestamp, one.received_at or one.timestamp) < at(CUT)]
    dataset = write(base / "data", known, [one for one in lists if one.timestamp < at(CUT)], items())
    build_features(dataset, base / "features", FEATURES, DataConfig(), TRAINING)
    fit(base / "features", base / "bundle", TRAINING, base / "checkpoints")
    return base / "bundle"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Day:
    return Day(tmp_path_factory.mktemp("honest"), bundle).serve()


@pytest.fixture(scope="module")
def decayed(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Day:
    return Day(tmp_path_factory.mktemp("decayed"), bundle, tamper=other_decay).serve()


def test_what_is_served_is_what_training_makes(honest: Day) -> None:
    report = honest.report()
    assert report.values is not None
    assert report.values.features == {}
    assert (report.values.differing, report.differing) == (0, 0)
    assert report.values.checked == report.values.impressions == report.impressions > 30
    assert report.values.items == 13 * report.values.checked
    assert report.values.not_checked == report.values.left_out == {}


def test_the_compared_values_say_something(honest: Day) -> None:
    """Live days are counted, strangers are among the items, and hardly a feature is constant."""
    logged = [one.feature_values for one in impressions_since(honest.store, at(SERVED)) if one.feature_values]
    assert any(STRANGER in one.item_ids for one in logged)
    seen: dict[str, set[float]] = {}
    for one in logged:
        for row in one.values:
            for name, value in zip(one.names, row, strict=True):
                seen.setdefault(name, set()).add(value)
    assert {name for name, values in seen.items() if len(values) == 1} <= {"history_length"}  # all users have as many
    ranker = load_feature_ranker(honest.bundle)
    assert ranker is not None
    assert ranker.snapshot.settings.counted_until <= day_of(at(CUT).timestamp())
    assert ranker.snapshot.settings.counted_until < day_of(at(SERVED).timestamp()) - 1


def test_a_sample_is_chosen_by_id_and_the_rest_is_told(honest: Day) -> None:
    few, again = honest.report(most=7).values, honest.report(most=7).values
    assert few is not None
    assert few == again
    assert few.checked == 7
    assert few.not_checked == {"a sample of 7 is enough": few.impressions - 7}


def test_a_log_too_long_to_count_leaves_the_past_days_out(honest: Day) -> None:
    values = honest.report(most_records=10).values
    assert values is not None
    assert (values.differing, values.features) == (0, {})
    assert values.left_out == {"past days: the log holds more than 10 records of them": values.checked}


def test_a_model_that_is_not_at_hand_is_counted(honest: Day) -> None:
    def gone(version: str) -> FeatureRanker | None:
        raise BundleError("There is no model bundle.")

    values = honest.report(find=gone).values
    assert values is not None
    (reason,) = values.not_checked
    assert "is not at hand: There is no model bundle." in reason
    assert (values.checked, values.not_checked[reason]) == (0, values.impressions)
    assert any("No feature values could be compared" in line for line in honest.report(find=gone).lines())
    (without,) = honest.report(find=lambda _: None).values.not_checked  # type: ignore[union-attr]
    assert without.endswith("has no features of candidates")


def spoilt(honest: Day, change: Callable[[Impression], Impression]) -> SkewReport:
    """The report on logged impressions that somebody has changed."""
    impressions = [change(one) for one in impressions_since(honest.store, at(SERVED))]
    check = ValueCheck(lambda _: load_feature_ranker(honest.bundle), FEATURES)
    return check_skew(honest.store, impressions, LENGTH, check)


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("other features", lambda told: msgspec.structs.replace(told, names=[*told.names[:-1], "charm"])),
        ("not one for each", lambda told: msgspec.structs.replace(told, values=told.values[1:])),
        ("not one for each", lambda told: msgspec.structs.replace(told, values=[row[1:] for row in told.values])),
        ("where their items", lambda told: msgspec.structs.replace(told, item_ids=["x", *told.item_ids[1:]])),
        ("where their items", lambda told: msgspec.structs.replace(told, item_ids=[], values=[])),
    ],
)
def test_values_that_cannot_be_read_are_counted(honest: Day, reason: str, spoil: Callable[[Any], Any]) -> None:
    values = spoilt(honest, lambda one: msgspec.structs.replace(one, feature_values=spoil(one.feature_values))).values
    assert values is not None
    assert values.checked == 0
    (told,) = values.not_checked
    assert reason in told


def test_one_changed_value_is_found_where_it_is(honest: Day) -> None:
    def change(one: Impression) -> Impression:
        told = one.feature_values
        assert told is not None
        at_recency = told.names.index("recency")
        rows = [[*row[:at_recency], row[at_recency] * (1 + 1e-7), *row[at_recency + 1 :]] for row in told.values]
        return msgspec.structs.replace(one, feature_values=msgspec.structs.replace(told, values=rows))

    values = spoilt(honest, change).values
    assert values is not None
    assert set(values.features) == {"recency"}
    found = values.features["recency"]
    assert found.example.used == pytest.approx(found.example.expected * (1 + 1e-7), rel=1e-12)
    assert found.largest == pytest.approx(found.example.expected * 1e-7, rel=1e-3)
    assert 0 < found.share < 1
    assert values.worst() == ("recency", value_causes.UNKNOWN)


def test_counts_that_lagged_by_the_servers_own_words_are_told_as_that(honest: Day) -> None:
    def change(one: Impression) -> Impression:
        told = one.feature_values
        assert told is not None
        at_count = told.names.index("popularity_7d")
        rows = [[*row[:at_count], row[at_count] + 1, *row[at_count + 1 :]] for row in told.values]
        values = msgspec.structs.replace(told, values=rows)
        return msgspec.structs.replace(one, feature_values=values, degraded=["features: the counts lag behind"])

    report = spoilt(honest, change)
    assert report.values is not None
    assert set(report.values.features) == {"popularity_7d"}
    assert causes(report) == {value_causes.LAGGING}


def served(tmp_path: Path, bundle: Path, **more: Any) -> SkewReport:
    """The report on a day that was served with something changed."""
    day = Day(tmp_path, bundle, **more).serve()
    try:
        return day.report()
    finally:
        day.store.close()


def causes(report: SkewReport) -> set[str]:
    assert report.values is not None
    return {cause for found in report.values.features.values() for cause in found.causes}


def test_another_history_length_is_found_with_its_cause(tmp_path: Path, bundle: Path) -> None:
    report = served(tmp_path, bundle, settings={"serving.history_length": 4})
    assert report.values is not None
    found = set(report.values.features)
    assert {"history_length", "repeats", "category_share", "price_share", "together_mean", "cosine_mean"} <= found
    assert not found & (TRAILING | {"age_days", "age_known", "price_known", "hour_affinity", "hour_sin"})
    assert causes(report) == {f"{value_causes.HISTORY}: {skew.LENGTH}"}
    assert report.values.share == report.share > 0.5


def test_other_prices_and_categories_in_the_servers_catalogue(tmp_path: Path, bundle: Path) -> None:
    report = served(tmp_path, bundle, tamper=other_items)
    assert report.values is not None
    assert set(report.values.features) == {"category_share", "price_share", "price_known", "hour_affinity"}
    assert causes(report) == {value_causes.UNKNOWN}
    assert report.differing == 0


def test_tampered_counts_are_found_in_the_trailing_windows(tmp_path: Path, bundle: Path) -> None:
    report = served(tmp_path, bundle, tamper=more_counts)
    assert report.values is not None
    found = report.values.features
    # That day has left the window of one day, but not yet those of three and seven.
    assert set(found) == {f"{name}_{width}d" for name in ("popularity", "ctr") for width in (3, 7)}
    assert causes(report) == {value_causes.COUNTS}
    assert found["popularity_7d"].largest == 5.0
    assert found["popularity_7d"].example.item_id == "i03"
    assert found["ctr_7d"].differing > found["popularity_7d"].differing  # the rate of all items moves every rate


def test_another_snapshot_is_found_in_the_one_feature_it_changes(decayed: Day) -> None:
    report = decayed.report()
    assert report.values is not None
    assert set(report.values.features) == {"together_decayed"}
    assert causes(report) == {value_causes.UNKNOWN}


def test_what_became_known_since_is_told_apart(tmp_path: Path, bundle: Path) -> None:
    """An item that changed after its lists is a difference with a cause; an erased user is none of the server's."""
    day = Day(tmp_path, bundle).serve()
    day.clock[0] += 3600
    day.store.append([Item(item_id="i03", category="a", attributes={"price": "1"})])
    changed = day.report()
    assert changed.values is not None
    assert set(changed.values.features) <= {"category_share", "price_share", "price_known", "hour_affinity"}
    assert "hour_affinity" in changed.values.features
    assert causes(changed) == {value_causes.ITEM}
    erased = next(one.user_id for one in traffic(8)[0] if one.timestamp > at(CUT + 48))
    day.store.erase(erased)
    report = day.report()
    assert report.values is not None
    assert set(report.values.features) - set(changed.values.features) <= TRAILING
    assert causes(report) == {value_causes.ITEM, value_causes.ERASED}
    assert report.values.excused > 0
    assert report.values.differing == 0
    assert any("users erased" in line for line in report.lines())
    day.store.close()


def test_an_erased_user_excuses_no_more_than_it_can_explain(tmp_path: Path, bundle: Path) -> None:
    """Counts that a few missing records cannot make are a fault, whoever was erased."""
    day = Day(tmp_path, bundle, tamper=lambda model: more_counts(model, 5000)).serve()
    day.clock[0] += 3600
    day.store.erase(next(one.user_id for one in traffic(8)[0] if one.timestamp > at(CUT + 48)))
    report = day.report()
    assert report.values is not None
    assert report.values.share > 0.5
    assert value_causes.COUNTS in causes(report)
    assert report.values.worst()[1] == value_causes.COUNTS
    day.store.close()


def test_the_command_reports_and_ends_with_1(tmp_path: Path, honest: Day, decayed: Day, bundle: Path) -> None:
    settings = ["-s", f"workspace={tmp_path}", "-s", f"features.history_length={LENGTH}"]
    command = ["check-skew", "--store", str(honest.store.path), "--since", at(SERVED).isoformat(), *settings]
    fine = CliRunner().invoke(app, [*command, "--bundle", str(bundle)])
    assert fine.exit_code == 0, fine.output
    assert "0 impressions (0.00%) used a value" in fine.output
    absent = CliRunner().invoke(app, command)
    assert absent.exit_code == 0, absent.output
    assert "is not at hand" in absent.output
    command[2] = str(decayed.store.path)
    found = CliRunner().invoke(app, [*command, "--bundle", str(bundle)])
    assert found.exit_code == 1, found.output
    assert "in their feature values" in found.output
    assert "together_decayed: " in found.output
    told = json.loads((tmp_path / "skew.json").read_text())
    assert told["values"]["features"]["together_decayed"]["example"]["cause"] == value_causes.UNKNOWN
    assert told["values"]["share"] > 0.05
    assert told["share"] == 0.0
    wrong = CliRunner().invoke(app, [*command, "--bundle", str(tmp_path / "nowhere")])
    assert isinstance(wrong.exception, LiverankError)


def test_the_monitor_warns_and_keeps_what_it_found(
    tmp_path: Path, honest: Day, decayed: Day, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Evidently draws a plot a column, and nobody looks at them here.
    monkeypatch.setattr("monitoring.columns.WATCHED", [one for one in WATCHED if one.name == "surface"])
    model = load_served(bundle, tmp_path / "none")

    def judged(day: Day, **settings: int) -> Judgement:
        config = replace_settings(day.config, **settings)
        now = datetime.fromtimestamp(day.clock[0], UTC)
        window = read_window(day.store, 0, 500, ("click",), now, 0.0)
        assert window is not None
        return judge(window, model, None, day.store, config, now)

    fine, bad = judged(honest), judged(decayed)
    assert fine.facts.value_skew is not None
    assert (fine.facts.value_skew.share, fine.facts.value_skew.features) == (0.0, {})
    assert not any("feature values" in warning for warning in fine.warnings)
    assert bad.facts.value_skew is not None
    assert bad.facts.value_skew.share is not None
    assert bad.facts.value_skew.share > 0.05
    assert set(bad.facts.value_skew.features) == {"together_decayed"}
    assert any("most often together_decayed (unknown" in warning for warning in bad.warnings)
    facts = judged(decayed, skew_impressions=5).facts.value_skew
    assert facts is not None
    assert (facts.checked, facts.not_compared) == (5, {"a sample of 5 is enough": facts.impressions - 5})


def replace_settings(config: Config, **settings: int) -> Config:
    return config.model_copy(update={"monitoring": config.monitoring.model_copy(update=settings)})


def test_a_share_of_the_answers_is_logged_and_always_the_same() -> None:
    names = [f"{number:032x}" for number in range(20_000)]
    chosen = [name for name in names if sampled(name, 0.01)]
    assert 120 < len(chosen) < 290
    assert chosen == [name for name in names if sampled(name, 0.01)]
    assert set(chosen) <= {name for name in names if sampled(name, 0.05)}
    assert not any(sampled(name, 0.0) for name in names)
    assert all(sampled(name, 1.0) for name in names)


def logged(store: Path) -> Sequence[Impression]:
    opened = open_store(store)
    try:
        return list(impressions_since(opened, None))
    finally:
        opened.close()


def test_a_real_server_logs_what_the_check_expects(servers: Callable[..., Server], bundle: Path) -> None:
    command = ("-c", "from liverank.cli import main; main()", "serve", "--bundle", str(bundle))
    server = servers("serving.feature_log_share=1", "serving.feature_log_items=3", command=command, option="--set")
    server.start()
    now = datetime.now(UTC).isoformat()
    with server.client() as client:
        events = [
            {"event_id": f"e{n}", "user_id": "u", "item_id": f"i{n:02d}", "type": "click", "timestamp": now}
            for n in range(9)
        ]
        assert client.post("/v1/events", json=events).status_code == 202
        new = {"item_id": "new", "category": "a", "attributes": {"price": "3"}}
        assert client.put("/v1/items", json=new).status_code == 200
        ids = [*(f"i{n:02d}" for n in range(12)), "new", STRANGER]
        for context in ({}, {"device": "phone"}):
            body = {"user_id": "u", "candidates": ids, "context": context, "surface": "home"}
            assert client.post("/v1/rank", json=body).status_code == 200
    assert server.kill() in (0, 128 + 15)
    found = logged(server.workspace / "live.db")
    assert [len(one.feature_values.item_ids) for one in found if one.feature_values] == [3, 3]
    result = CliRunner().invoke(app, ["check-skew", "-s", f"workspace={server.workspace}", "--bundle", str(bundle)])
    assert result.exit_code == 0, result.output
    assert "Feature values of 2 of the 2 impressions" in result.output
    assert "for 6 items; 0 impressions" in result.output
