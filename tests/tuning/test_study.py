"""The study: held by one, mended, refused where it is another's, and in the order that its seed decides."""

from __future__ import annotations

import json

import optuna
import pytest
from optuna.trial import TrialState

from liverank.errors import ConfigError
from liverank.tuning.sampling import AGAIN_OF, SeededByPlace, place_of
from liverank.tuning.study import DEFAULT, Place, TuningError, held, open_study, storage_of, take_up
from liverank.tuning.workers import quiet

MADE_WITH = {"data": "a", "space": "b"}


@pytest.fixture(autouse=True)
def silent():
    quiet()


def opened(place: Place) -> optuna.Study:
    return open_study(place, MADE_WITH, SeededByPlace("random", 1), optuna.pruners.NopPruner())


@pytest.fixture(params=["study.journal", "sqlite:///study.db"])
def place(request, tmp_path) -> Place:
    name = request.param
    where = f"sqlite:///{tmp_path / 'study.db'}" if "://" in name else str(tmp_path / name)
    return Place("s", where)


def test_a_trial_that_was_cut_off_is_tried_again_once_with_its_settings(place):
    study = opened(place)
    study.enqueue_trial({"x": 0.25}, user_attrs={DEFAULT: True})
    study.ask()  # never told: its process was killed before it drew anything
    cut_off = study.ask()
    drawn = cut_off.suggest_float("x", 0, 1)
    assert take_up(opened(place), place) == 2
    assert take_up(opened(place), place) == 0
    trials = opened(place).get_trials()
    assert [trial.state for trial in trials] == [*[TrialState.FAIL] * 2, *[TrialState.WAITING] * 2]
    first, second = opened(place).ask(), opened(place).ask()
    assert (first.suggest_float("x", 0, 1), second.suggest_float("x", 0, 1)) == (0.25, drawn)
    assert first.user_attrs == {DEFAULT: True, AGAIN_OF: 0}


def test_a_study_cannot_be_held_twice(place):
    with held(place), pytest.raises(TuningError, match="Another process"), held(place):
        pass
    with held(place):
        assert opened(place).get_trials() == []


def test_a_study_of_other_data_is_refused_by_name(place):
    opened(place)
    with pytest.raises(TuningError, match="made with other data:"):
        open_study(place, {**MADE_WITH, "data": "c"}, SeededByPlace("random", 1), optuna.pruners.NopPruner())


def test_half_a_line_and_a_lock_that_a_killed_process_left_are_taken_away(tmp_path):
    place = Place("s", str(tmp_path / "study.journal"))
    study = opened(place)
    study.tell(study.ask(), 0.5)
    with open(place.storage, "a", encoding="utf-8") as journal:
        journal.write('{"op_code":4,"worker')
    (tmp_path / "study.journal.lock").symlink_to(place.storage)
    with held(place):
        again = opened(place)
        assert [trial.value for trial in again.get_trials()] == [0.5]
        again.tell(again.ask(), 0.75)
    assert [json.loads(line) for line in (tmp_path / "study.journal").read_text().splitlines()]
    assert [trial.value for trial in opened(place).get_trials()] == [0.5, 0.75]


@pytest.mark.parametrize("storage", ["postgresql://u:geheim@127.0.0.1:9/x", "nosuch://u:geheim@host/x"])
def test_a_storage_that_is_not_there_is_said_without_its_password(storage):
    with pytest.raises(TuningError, match="cannot be used") as problem:
        Place("s", storage).open()
    assert "geheim" not in str(problem.value).split("cannot be used")[0]


def test_where_trials_are_kept(tmp_path):
    assert storage_of("", tmp_path) == str(tmp_path / "study.journal")
    assert storage_of("sqlite:///x.db", tmp_path) == "sqlite:///x.db"
    with pytest.raises(ConfigError, match="three slashes"):
        storage_of("sqlite://x.db", tmp_path)


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_a_study_that_was_cut_off_proposes_what_it_would_have_proposed(kind):
    def run(cut_off: set[int]) -> list[float]:
        study = optuna.create_study(direction="maximize", sampler=SeededByPlace(kind, 3))
        place = Place("s", "study.journal")
        seen = []
        while len(seen) < 16:
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            if trial.number in cut_off:
                take_up(study, place)
                continue
            study.tell(trial, -((x - 0.3) ** 2))
            seen.append(x)
        return seen

    whole = run(set())
    assert len(set(whole)) == 16
    assert run({4, 5, 13}) == whole


def test_places_are_those_of_a_study_that_was_never_cut_off():
    study = optuna.create_study()
    for again in (None, None, 1, None, 2, None):
        study.enqueue_trial({}, user_attrs={} if again is None else {AGAIN_OF: again})
    trials = study.get_trials()
    assert [place_of(trial, trials) for trial in trials] == [0, 1, 1, 2, 1, 3]
