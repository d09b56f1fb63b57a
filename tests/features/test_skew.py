"""`check-skew`: what serving ranked with against what training makes of the log; real store, real clock steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.events import Impression, Interaction, ShownItem
from liverank.features import skew
from liverank.features.digest import digest_length, history_digest
from liverank.features.skew import SkewReport, check_skew, impressions_since
from liverank.ranking.protocol import History
from liverank.store import LiveStore, open_store
from tests.store.redis_server import PATIENT

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Live:
    """A store under a clock of our own, and the impressions that a server would log."""

    store: LiveStore
    clock: list[float] = field(default_factory=lambda: [NOON.timestamp()])

    def event(self, name: str, arrives: float, happened: float | None = None, user: str = "u") -> None:
        """An event that arrives that many seconds after noon, dated then or as said."""
        self.clock[0] = NOON.timestamp() + arrives
        at = NOON + timedelta(seconds=arrives if happened is None else happened)
        self.store.append([Interaction(event_id=name, user_id=user, item_id=f"i-{name}", type="click", timestamp=at)])

    def ranked(self, at: float, length: int = 50, user: str = "u", logged: float | None = None) -> None:
        """What serving does at that second: reads the history, logs the list a moment later."""
        digest = history_digest(self.store.history(user, length))
        self.log(at, digest, user, at + 0.05 if logged is None else logged)

    def log(self, at: float, digest: str, user: str, logged: float) -> None:
        self.clock[0] = NOON.timestamp() + logged
        self.store.append(
            [
                Impression(
                    impression_id=f"p{at}{user}",
                    user_id=user,
                    timestamp=NOON + timedelta(seconds=at),
                    shown=[ShownItem(item_id="a", position=1)],
                    history_digest=digest,
                )
            ]
        )

    def report(self, length: int = 50) -> SkewReport:
        return check_skew(self.store, impressions_since(self.store, None), length)


@pytest.fixture(params=["sqlite", "redis"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Live:
    clock = [NOON.timestamp()]
    redis = request.param == "redis"
    place = request.getfixturevalue("redis").url(tmp_path) if redis else tmp_path / "live.db"
    return Live(open_store(place, lambda: clock[0], PATIENT), clock)


def test_what_is_served_as_training_makes_it_differs_in_nothing(live: Live) -> None:
    live.ranked(0)
    for second in range(1, 80):
        live.event(f"e{second:02d}", second)
        live.ranked(second + 0.5)
    live.event("late", 100, happened=2)  # arrived after those rankings: training respects that too
    live.ranked(101)
    report = live.report()
    assert (report.impressions, report.checked, report.differing, report.share) == (81, 81, 0, 0.0)
    assert report.features == {"history": 0.0, "history length": 0.0}


def test_impressions_that_name_no_history_are_not_checked(live: Live) -> None:
    live.log(1, "", "u", 1)
    assert (live.report().impressions, live.report().checked) == (1, 0)


@pytest.mark.parametrize(
    ("cause", "happen"),
    [
        (skew.CLOCK, lambda live: (live.event("a", 1), live.event("b", 2, happened=90), live.ranked(5))),
        (skew.MEANWHILE, lambda live: (live.event("a", 1), live.event("b", 5.02, happened=4), live.ranked(5))),
        (skew.LENGTH, lambda live: ([live.event(f"e{n}", n) for n in range(9)], live.ranked(20, length=4))),
        (
            skew.ORDER,
            lambda live: ([live.event(name, 2, happened=0.5) for name in "bca"], live.ranked(5)),
        ),
        (
            skew.LATE,
            lambda live: (
                live.event("a", 1),
                live.event("b", 400, happened=2),
                live.log(5, history_digest(live.store.history("u", 50)), "u", 500),
            ),
        ),
        (skew.UNKNOWN, lambda live: (live.event("a", 1), live.log(5, "1:0123456789abcdef", "u", 5))),
    ],
)
def test_a_difference_has_its_cause(live: Live, cause: str, happen: Callable[[Live], object]) -> None:
    happen(live)
    report = live.report()
    assert report.causes == {cause: 1}
    assert report.share == 1.0
    assert report.examples[0].cause == cause


def test_a_request_dated_back_is_no_erased_user(live: Live) -> None:
    """The events are in the log when the list is ranked, whatever the caller says the time is."""
    for number in range(3):
        live.event(f"e{number}", number, happened=number - 600)
    live.event("ahead", 3, happened=200)
    live.log(-300, history_digest(live.store.history("u", 50)), "u", 4)
    assert live.report().causes == {skew.CLOCK: 1}


def test_a_request_dated_back_between_what_the_log_holds(live: Live) -> None:
    for number in range(3):
        live.event(f"e{number}", number, happened=number - 600)
    live.event("ahead", 3, happened=200)
    seen = history_digest(live.store.history("u", 50, NOON.timestamp() - 300))
    live.event("meanwhile", 3.5, happened=-500)
    live.log(-300, seen, "u", 4)
    assert digest_length(seen) == 3
    assert live.report().causes == {skew.CLOCK: 1}


def test_where_nothing_is_to_check_no_share_is_told(tmp_path: Path) -> None:
    store = open_store(tmp_path / "live.db")
    arguments = ["check-skew", "--store", str(tmp_path / "live.db"), "--out", str(tmp_path / "skew.json")]
    empty = CliRunner().invoke(app, arguments)
    line = [ShownItem(item_id="a", position=1)]
    store.append([Impression(impression_id="p", user_id="u", timestamp=NOON, shown=line)])
    store.close()
    nameless = CliRunner().invoke(app, arguments)
    assert (empty.exit_code, nameless.exit_code) == (0, 0)
    assert "Nothing to check: the log holds no impression" in empty.output
    assert "Nothing to check: none of 1 impressions names the history" in nameless.output
    assert "%" not in empty.output + nameless.output


def test_an_erased_user_who_comes_back(live: Live) -> None:
    live.event("a", 1)
    digest = history_digest(live.store.history("u", 50))
    live.store.erase("u")
    live.log(5, digest, "u", 5)
    assert live.report().causes == {skew.ERASED: 1}


def test_the_command_writes_the_report_and_ends_with_1_over_the_threshold(live: Live, tmp_path: Path) -> None:
    live.event("a", 1)
    live.ranked(2)
    live.event("b", 3, happened=90)
    live.ranked(5)
    live.store.close()
    arguments = ["check-skew", "--store", live.store.place, "--out", str(tmp_path / "skew.json")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, result.output
    assert "50.00%" in result.output
    assert skew.CLOCK in result.output
    told = json.loads((tmp_path / "skew.json").read_text())
    assert (told["share"], told["checked"], told["causes"]) == (0.5, 2, {skew.CLOCK: 1})
    assert CliRunner().invoke(app, [*arguments, "-s", "monitoring.max_skew=0.5"]).exit_code == 0
    since = CliRunner().invoke(app, [*arguments, "--since", "2026-03-01T12:00:04Z"])
    assert "1 of 1 impressions" in since.output


def test_a_user_can_mend_what_they_mistype(tmp_path: Path) -> None:
    from liverank.errors import ConfigError, DataError

    missing = CliRunner().invoke(app, ["check-skew", "--store", str(tmp_path / "none.db")])
    assert isinstance(missing.exception, DataError)
    open_store(tmp_path / "live.db").close()
    wrong = CliRunner().invoke(app, ["check-skew", "--store", str(tmp_path / "live.db"), "--since", "yesterday"])
    assert isinstance(wrong.exception, ConfigError)


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["view", "click"]), st.integers(0, 5)), max_size=6)


@given(EVENTS, EVENTS)
def test_a_digest_names_one_history(left: list[tuple[str, str, int]], right: list[tuple[str, str, int]]) -> None:
    def history(events: list[tuple[str, str, int]]) -> History:
        return History(*(list(part) for part in zip(*events, strict=True))) if events else History()

    assert (history_digest(history(left)) == history_digest(history(right))) == (left == right)
    assert digest_length(history_digest(history(left))) == len(left)


def test_no_digest_has_no_length() -> None:
    assert digest_length("") == -1
