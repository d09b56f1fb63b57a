"""Folds: no model ever learns from what a request that judges it could not have known. Brute force on random logs."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liverank.config.training import CountConfig
from liverank.config.tuning import TuningConfig
from liverank.errors import DataError
from liverank.ranking.catalogue import Catalogue
from liverank.ranking.data import LabelledRequest
from liverank.ranking.protocol import Candidates, Context, History, Request
from liverank.tuning import folds as module
from liverank.tuning.event_log import EventLog
from liverank.tuning.folds import Fold, ListSettings, load_folds, make_folds

LABELS = ("click", "purchase")
LISTS = ListSettings(4, 6, LABELS, CountConfig(learn_weights=False))
ITEMS = [f"i{at}" for at in range(8)]
START = datetime(2026, 1, 1, tzinfo=UTC)


def catalogue() -> Catalogue:
    names = tuple(ITEMS)
    return Catalogue(names, names, ("",) * len(names), names, np.zeros(len(names), np.int64))


def log_of(rows: list[tuple[int, int, int, str, int, bool]]) -> EventLog:
    """Rows: user, item, minute, type, minutes until it had arrived, whether it answers the list of its user."""
    known = [START + timedelta(minutes=minute + late) for _, _, minute, _, late, _ in rows]
    times = [START + timedelta(minutes=minute) for _, _, minute, *_ in rows]
    instant = pa.timestamp("us", tz="UTC")
    columns = {
        "event_id": pa.array([f"e{at}" for at in range(len(rows))], pa.string()),
        "user_id": pa.array([f"u{row[0]}" for row in rows], pa.string()),
        "item_id": pa.array([ITEMS[row[1]] for row in rows], pa.string()),
        "type": pa.array([row[3] for row in rows], pa.string()),
        "weight": pa.array([1.0] * len(rows), pa.float32()),
        "timestamp": pa.array(times, instant),
        "known_at": pa.array(known, instant),
        "impression_id": pa.array([f"list-u{row[0]}-{row[2]}" if row[5] else None for row in rows], pa.string()),
    }
    return EventLog.of(pa.table(columns))


def shown_of(rows) -> list[LabelledRequest]:
    """The list that each answer says it was given to, shown at that minute to its user with nothing known before."""
    made = {}
    for user, _, minute, _, _, answers in rows:
        if answers:
            context = Context((START + timedelta(minutes=minute)).timestamp())
            request = Request(History(), Candidates(ITEMS[:5]), context, f"u{user}")
            name = f"list-u{user}-{minute}"
            made[name] = LabelledRequest(request, name, np.zeros(5, np.float32), (), "impressions")
    return list(made.values())


def random_rows(seed: int) -> list[tuple[int, int, int, str, int, bool]]:
    """A log of a few users and items, some events late, several at one instant, some in answer to a list."""
    draw = random.Random(seed)
    return [
        (
            draw.randrange(5), draw.randrange(8), draw.randrange(400), draw.choice(["view", *LABELS]),
            draw.choice([0, 0, 0, 3, 150]), draw.random() < 0.3,
        )
        for _ in range(draw.randrange(60, 120))
    ]  # fmt: skip


# Drawn from a seed: a list of a hundred tuples takes hypothesis longer to make than the folds take.
ROWS = st.integers(0, 10**9).map(random_rows)


def cut(rows, gap_seconds: float, folds: int) -> tuple[EventLog, list[Fold]]:
    log = log_of(rows)
    config = TuningConfig(folds=folds, window_share=0.17, gap_seconds=gap_seconds, max_requests=12)
    try:
        return log, make_folds(log, catalogue(), shown_of(rows), LISTS, config)
    except DataError:
        assume(False)
        raise


@settings(max_examples=60)
@given(ROWS, st.sampled_from([0.0, 600.0]), st.integers(1, 2))
def test_a_fold_learns_only_from_what_had_arrived_before_all_that_judges_it(rows, gap, folds):
    log, made = cut(rows, gap, folds)
    assert len(made) == folds + 1
    items, users = log.table["item_id"].to_pylist(), log.table["user_id"].to_pylist()
    arrived = sorted(zip(log.known.tolist(), items, users, strict=True))
    for fold in made:
        learned = fold.train.events
        expected = sorted((user, item) for known, item, user in arrived if known < fold.train_until)
        got = sorted((learned.users[user], ITEMS[item]) for user, item in zip(learned.user, learned.item, strict=True))
        assert got == expected
        assert fold.train_until == fold.validation_from - gap
        for one in fold.train.validation:
            assert fold.validation_from <= one.request.context.timestamp < fold.judged_from - gap
        for one in fold.judged:
            assert fold.judged_from <= one.request.context.timestamp < fold.judged_until
        assert fold.train.catalogue.train_events.sum() == len(learned)


@settings(max_examples=40)
@given(ROWS, st.integers(1, 2))
def test_no_later_event_of_a_user_is_in_what_judges_that_users_earlier_ones(rows, folds):
    log, made = cut(rows, 0.0, folds)
    users, known, times = log.table["user_id"].to_pylist(), log.known, log.time
    items = log.table["item_id"].to_pylist()
    for fold in made:
        for one in (*fold.train.validation, *fold.judged):
            user, at = one.request.user_id, one.request.context.timestamp
            learned = fold.train.events
            mine = learned.timestamp[[learned.users[code] == user for code in learned.user]]
            assert (mine < at).all()
            if one.source == "impressions":
                continue
            mask = [who == user and there < at for who, there in zip(users, known, strict=True)]
            expected = np.flatnonzero(mask)[-LISTS.history_length :]
            assert list(one.request.history.item_ids) == [items[row] for row in expected]
            assert list(one.request.history.timestamps) == times[expected].tolist()


@settings(max_examples=40)
@given(ROWS)
def test_the_blend_does_not_see_answers_that_came_after_the_judged_half_begins(rows):
    log, made = cut(rows, 0.0, 1)
    items = log.table["item_id"].to_pylist()
    answers, every = log.answers(LABELS), log.baskets(LABELS)
    baskets = {
        f"basket:{log.user(row)}:{round(log.time[row] * 1e6)}": every.of(at) for at, row in enumerate(every.first)
    }
    for fold in made:
        for limit, requests in ((fold.judged_from, fold.train.validation), (np.inf, fold.judged)):
            for one in requests:
                mine = baskets[one.request_id] if one.source == "retriever" else answers.get(one.request_id, [])
                assert one.truth == tuple(sorted({items[row] for row in mine if log.known[row] < limit}))
                assert one.labels.tolist() == [item in one.truth for item in one.request.candidates.item_ids]


@settings(max_examples=40)
@given(ROWS, st.integers(2, 3))
def test_windows_follow_each_other_and_the_later_learns_from_more(rows, folds):
    _, made = cut(rows, 0.0, folds)
    for earlier, later in pairwise(made):
        assert earlier.judged_from < earlier.judged_until == later.validation_from
        assert len(earlier.train.events) <= len(later.train.events)
        assert earlier.train.data_hash != later.train.data_hash


def test_a_large_catalogue_is_asked_of_a_retriever_that_knows_the_past_only(monkeypatch):
    rows = [(at % 3, at % 8, at, "click", 0, False) for at in range(120)]
    monkeypatch.setattr(module, "SMALL_CATALOGUE", 4)
    config = TuningConfig(folds=1, window_share=0.2)
    made = make_folds(log_of(rows), catalogue(), [], LISTS, config)
    # What only happened later must not change what is proposed.
    changed = [(u, 7 if minute >= 96 else item, minute, *more) for u, item, minute, *more in rows]
    again = make_folds(log_of(changed), catalogue(), [], LISTS, config)
    for one, other in zip(made[0].train.validation, again[0].train.validation, strict=True):
        assert len(one.request.candidates) == LISTS.candidates
        assert one.request.candidates.item_ids == other.request.candidates.item_ids


def test_a_small_catalogue_is_ranked_whole():
    rows = [(at % 3, at % 8, at, "click", 0, False) for at in range(120)]
    made = make_folds(log_of(rows), catalogue(), [], LISTS, TuningConfig(folds=1, window_share=0.2))
    assert all(list(one.request.candidates.item_ids) == ITEMS for fold in made for one in fold.judged)


@pytest.mark.parametrize("rows", [[], [(0, 0, 0, "view", 0, False)] * 50, [(0, 0, 5, "click", 0, False)] * 50])
def test_too_little_is_said(rows):
    with pytest.raises(DataError, match=r"nothing to tune on.*tuning\.folds"):
        make_folds(log_of(rows), catalogue(), [], LISTS, TuningConfig())


def test_a_features_folder_gives_shown_lists_and_baskets(features):
    lists = ListSettings(12, 20, ("click", "cart", "purchase", "rating"), CountConfig())
    made = load_folds(features, lists, TuningConfig(folds=2, window_share=0.12, max_requests=60))
    sources = {one.source for fold in made for one in fold.judged}
    assert "impressions" in sources
    assert all(any(one.truth for one in fold.judged) for fold in made)


def test_no_features_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="no features folder"):
        load_folds(tmp_path, LISTS, TuningConfig())
