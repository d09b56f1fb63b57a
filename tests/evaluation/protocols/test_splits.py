"""What each split trains on, asks and hides, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.errors import DataError
from liverank.evaluation.protocols.asks import most_requests, sample
from liverank.evaluation.protocols.leave_one_out import cold_groups, hidden_items, leave_one_out
from liverank.evaluation.protocols.log import dataset_folder, read_log
from liverank.evaluation.protocols.plain_counts import PlainCounts
from liverank.evaluation.protocols.scoring import plain_sides
from liverank.evaluation.protocols.temporal import temporal
from tests.evaluation.protocols.made import chains, event, sequences, write


def letters(split, rows) -> str:
    return "".join(split.log.catalogue.item_ids[row] for row in np.asarray(rows).tolist())


def trained(split) -> str:
    return letters(split, split.log.events.item[split.training])


def test_the_last_is_the_test_the_one_before_the_validation(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "abcd", "v": "efg", "w": "ha"}))
    assert trained(split) == "abeha"  # w has two events: it is only trained on
    assert [letters(split, ask.truth) for ask in split.test] == ["d", "g"]
    assert [letters(split, ask.truth) for ask in split.validation] == ["c", "f"]
    assert [letters(split, split.history_rows(ask)) for ask in split.test] == ["abc", "ef"]
    assert [letters(split, split.history_rows(ask)) for ask in split.validation] == ["ab", "e"]
    assert [letters(split, rows) for rows in split.sequences()] == ["ab", "e", "ha"]


def test_equal_times_keep_the_order_of_the_file(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "dbca"}, same_time=True))
    assert letters(split, split.test[0].truth) == "a"
    assert trained(split) == "db"


def test_each_event_is_a_step_of_its_own(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "dbca", "v": "bc"}, same_time=True))
    request = split.encoded(split.test[0], split.candidates(split.test[0]))
    assert request.steps_back.tolist() == [2, 1, 0]
    assert request.request.context.timestamp > request.times.max()
    times = split.log.events.timestamp
    assert np.diff(times[:4]) == pytest.approx([1e-6] * 3, abs=3e-7)
    assert times[4] == times[0]


def test_later_events_wait_for_those_of_one_instant(tmp_path):
    base = [event("u", item, 0, at) for at, item in enumerate("abc")] + [event("u", "d", 1, 3)]
    log = read_log(write(tmp_path, base, list("abcd")), DataConfig())
    near = replace(log, events=replace(log.events, timestamp=log.events.timestamp[0] + np.array([0, 0, 0, 1e-6])))
    assert (np.diff(near.in_order().events.timestamp) > 0).all()
    assert near.in_order().events.timestamp == pytest.approx(near.events.timestamp, abs=5e-6)
    apart = sequences(tmp_path / "apart", {"u": "abcd"})
    assert apart.in_order() is apart


def test_ties_are_shuffled_and_nothing_else(tmp_path):
    log = sequences(tmp_path / "one", {"u": "abcdefgh", "v": "hgfedcba"}, same_time=True)
    other = log.shuffled_ties()
    before, after = letters_of(log), letters_of(other)
    assert before != after
    assert [sorted(before[:8]), sorted(before[8:])] == [sorted(after[:8]), sorted(after[8:])]
    assert other.hash != log.hash
    apart = sequences(tmp_path / "two", {"u": "abcdefgh"})
    assert letters_of(apart.shuffled_ties()) == "abcdefgh"


def letters_of(log) -> str:
    return "".join(log.catalogue.item_ids[row] for row in log.events.item)


def test_what_the_user_had_is_no_candidate_unless_it_is_kept(tmp_path):
    log = sequences(tmp_path, {"u": "abcd"})
    masked, kept = leave_one_out(log), leave_one_out(log, keep_seen=True)
    assert letters(masked, masked.candidates(masked.test[0])) == "defgh"
    assert letters(masked, masked.candidates(masked.validation[0])) == "cdefgh"
    assert letters(kept, kept.candidates(kept.test[0])) == "abcdefgh"


def test_repeats_count_only_where_they_can_be_found(tmp_path):
    log = sequences(tmp_path, {"u": "abacb"})
    assert letters(leave_one_out(log), leave_one_out(log).test[0].truth) == "c"
    assert trained(leave_one_out(log)) == "a"
    kept = leave_one_out(log, keep_seen=True)
    assert letters(kept, kept.test[0].truth) == "b"
    assert trained(kept) == "aba"


def test_only_what_can_be_looked_for_makes_a_sequence(tmp_path):
    events = [event("u", item, at, at, kind) for at, (item, kind) in enumerate(
        [("a", "click"), ("b", "view"), ("c", "purchase"), ("d", "dislike"), ("e", "click"), ("f", "view")]
    )]  # fmt: skip
    split = leave_one_out(read_log(write(tmp_path, events, list("abcdef")), DataConfig()))
    assert letters(split, split.test[0].truth) == "e"
    assert trained(split) == "a"


def test_validation_requests_rank_all_items_without_the_history(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "abcd", "v": "efg"}))
    first, second = split.validation_requests()
    assert "".join(first.request.candidates.item_ids) == "cdefgh"
    assert first.labels.tolist() == [1, 0, 0, 0, 0, 0]
    assert "".join(first.request.history.item_ids) == "ab"
    assert second.truth == ("f",)
    assert first.source == "retriever"


def test_candidates_are_shared_where_nothing_is_masked(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "abcd", "v": "efg"}), keep_seen=True)
    first, second = split.validation_requests()
    assert first.request.candidates.item_ids is second.request.candidates.item_ids


def test_the_catalogue_counts_training_events_alone(tmp_path):
    split = leave_one_out(sequences(tmp_path, {"u": "abcd", "v": "abc"}))
    assert split.training_data([], "").catalogue.train_events.tolist() == [2, 1, 0, 0, 0, 0, 0, 0]


def test_samples_are_fixed_bounded_and_in_order():
    assert sample(list(range(10)), 20) == list(range(10))
    chosen = sample(list(range(1000)), 50)
    assert len(chosen) == len(set(chosen)) == 50
    assert chosen == sorted(chosen) == sample(list(range(1000)), 50)
    assert (most_requests(100), most_requests(80_000), most_requests(10**9)) == (1000, 100, 20)


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    log = read_log(chains(tmp_path_factory.mktemp("cold")), DataConfig())
    return leave_one_out(log, cold=0.2)


def test_a_hidden_item_is_in_no_training_and_no_history(cold):
    assert cold.hidden.sum() == 8
    assert not cold.hidden[cold.log.events.item[cold.training]].any()
    assert not cold.hidden[np.concatenate(cold.sequences())].any()
    data = cold.over_all_items("")
    assert not data.catalogue.train_events[cold.hidden].any()
    hidden = {cold.log.catalogue.item_ids[row] for row in np.flatnonzero(cold.hidden)}
    assert not any(hidden & set(one.request.history.item_ids) for one in data.validation)
    for ask in (*cold.validation, *cold.test):
        assert not cold.hidden[cold.encoded(ask, cold.candidates(ask)).history].any()


def test_the_validation_never_touches_the_cold_items_of_the_test(cold):
    withheld = {cold.log.catalogue.item_ids[row] for row in np.flatnonzero(cold.withheld)}
    requests = cold.validation_requests()
    assert not any(withheld & set(one.truth) for one in requests)
    assert not any(withheld & set(one.request.candidates.item_ids) for one in requests)
    # The other half is there, so that what a cold item is worth can be learned.
    others = cold.hidden & ~cold.withheld
    assert any(others[ask.truth[0]] for ask in cold.validation)
    assert others.sum() == cold.withheld.sum() == 4


def test_hidden_items_stay_candidates_but_for_those_the_user_had(cold):
    for ask in cold.test:
        candidates = cold.candidates(ask)
        had = np.unique(cold.log.events.item[ask.start : ask.stop])
        assert ask.truth[0] in candidates
        assert not np.isin(had, candidates).any()
        assert np.isin(np.setdiff1d(np.flatnonzero(cold.hidden), had), candidates).all()


def test_cold_groups_go_by_the_truth(cold):
    groups = cold_groups(cold)
    truth = np.asarray([ask.truth[0] for ask in cold.test])
    assert groups["cold"].tolist() == cold.withheld[truth].tolist()
    assert (groups["warm"] ^ groups["cold, all hidden"]).all()
    assert not cold_groups(leave_one_out(cold.log))


def test_some_items_are_hidden_however_small_the_share():
    hidden, withheld = hidden_items(10, 0.01)
    assert (hidden.sum(), withheld.sum()) == (2, 1)


def test_one_cut_in_time_for_all(tmp_path):
    # 0 to 10 hours: validation from 8, test from 9.
    plan = [
        ("u", "a", 0),
        ("u", "b", 8.5),
        ("u", "c", 9.5),
        ("u", "d", 9.5),
        ("u", "a", 10),
        ("v", "e", 7),
        ("v", "f", 9),
    ]
    events = [event(user, item, hour, at) for at, (user, item, hour) in enumerate(plan)]
    split = temporal(read_log(write(tmp_path, events, list("abcdef")), DataConfig()))
    assert trained(split) == "ae"
    assert [letters(split, ask.truth) for ask in split.validation] == ["b"]
    # Two items of one timestamp are one truth; coming back to `a` is none, for it is masked.
    assert [letters(split, ask.truth) for ask in split.test] == ["cd", "f"]
    assert [letters(split, split.history_rows(ask)) for ask in split.test] == ["ab", "e"]
    kept = temporal(split.log, keep_seen=True)
    assert [letters(kept, ask.truth) for ask in kept.test] == ["cd", "a", "f"]
    assert letters(kept, kept.history_rows(kept.test[1])) == "abcd"


def test_plain_recipes_read_only_what_can_be_looked_for(tmp_path):
    """Views lie between, before and after the ratings, of items that nobody rates."""
    kinds = [("a", "rating"), ("x", "view"), ("b", "rating"), ("y", "dislike"), ("c", "rating")]
    events = [
        event(user, item, 10 * number + at, 10 * number + at, kind)
        for number, user in enumerate("uvw")
        for at, (item, kind) in enumerate(kinds)
    ]
    events += [event("v", "z", 65, 98), event("w", "z", 99, 99)]
    split = temporal(read_log(write(tmp_path, events, list("abcxyz")), DataConfig()), 0.2)
    assert [letters(split, rows) for rows in split.sequences()] == ["abc", "abc", "abc"]
    recipe = PlainCounts.fit(split.sequences(), split.log.catalogue.texts)
    request = split.encoded(split.test[0], np.arange(6))
    assert letters(split, request.history) == "axbyc"
    counted, similar = plain_sides(recipe, split.log.label_types, [request])
    assert (counted == recipe.counted([request.history[[0, 2, 4]]])).all()
    assert (similar == recipe.similar([request.history[[0, 2, 4]]])).all()


def test_what_cannot_be_split_by_time_is_said(tmp_path):
    with pytest.raises(DataError, match="leave-one-out needs no times"):
        temporal(sequences(tmp_path, {"u": "abcd"}, same_time=True))


def test_renumbering_keeps_every_event_and_text(tmp_path):
    log = sequences(tmp_path, {"u": "abcd", "v": "efg"})
    other = log.renumbered()
    assert other.catalogue.item_ids != log.catalogue.item_ids
    assert [other.catalogue.texts[row] for row in other.events.item] == [
        log.catalogue.texts[row] for row in log.events.item
    ]
    assert sorted(other.catalogue.texts) == sorted(log.catalogue.texts)
    assert other.hash != log.hash


def test_a_sample_takes_whole_sequences(tmp_path):
    log = read_log(chains(tmp_path), DataConfig())
    few = log.sampled(7)
    assert len(np.unique(few.events.user)) == 7
    assert len(few.events) == 7 * 8
    assert len(few.catalogue) == len(log.catalogue)
    assert log.sampled(0) is log.sampled(1000) is log


def test_items_that_only_events_know_are_candidates_without_text(tmp_path):
    events = [event("u", item, at, at) for at, item in enumerate("azb")]
    log = read_log(write(tmp_path, events, list("abc")), DataConfig())
    assert log.catalogue.item_ids == ("a", "b", "c", "z")
    assert log.catalogue.texts[3] == ""


def test_nothing_to_look_for_is_said(tmp_path):
    events = [event("u", "a", at, at, "view") for at in range(5)]
    with pytest.raises(DataError, match="no interaction to look for"):
        read_log(write(tmp_path, events, ["a"]), DataConfig())


def test_any_source_is_ingested_aside_and_a_dataset_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "clicks.csv").write_text(
        f"{c.USER_ID},{c.ITEM_ID},{c.TYPE},{c.TIMESTAMP}\nu,a,click,2026-01-01T00:00:00Z\n", encoding="utf-8"
    )
    made = dataset_folder(str(tmp_path / "clicks.csv"), DataConfig(), tmp_path / "aside")
    assert made == tmp_path / "aside"
    assert dataset_folder(str(made), DataConfig(), tmp_path / "other") == made
    assert not (tmp_path / "other").exists()
