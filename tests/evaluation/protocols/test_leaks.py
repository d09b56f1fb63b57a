"""What is chosen is chosen without the test: other answers there change nothing, other answers before it do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from liverank.config import Config
from liverank.evaluation.protocols.asks import Split
from liverank.evaluation.protocols.leave_one_out import leave_one_out
from liverank.evaluation.protocols.lists import labelled_lists, read_lists
from liverank.evaluation.protocols.log import Log, read_log
from liverank.evaluation.protocols.run import run_protocol
from liverank.evaluation.protocols.settings import ProtocolSettings, protocol_settings
from liverank.evaluation.protocols.split_run import Means, run_split
from liverank.evaluation.protocols.temporal import temporal
from liverank.evaluation.protocols.watch import Watch
from tests.evaluation.protocols.made import logged_lists, other_answers, without_interest

LISTS = ("lists of 30 from count", "lists of 30 from plain count + TF-IDF")


def chosen(log: Log, settings: ProtocolSettings, config: Config, out: Path) -> dict[str, Any]:
    """Part of the run -> what it chose."""
    split = temporal(log, 0.2) if settings.protocol == "temporal" else leave_one_out(log)
    found = run_split(split, {}, Means(settings, config.training, out, Watch())).chosen
    seed = found["seeds"][0]
    told = {"plain weight": found["plain recipe's weight"], "blend": seed["blend"]}
    told |= {part: seed[part] for part in LISTS if settings.lists}
    if seed["interest"]:
        told["epochs"] = {name: seed["interest"][name] for name in ("best_epoch", "best_ndcg", "ndcgs")}
    return told


@pytest.mark.parametrize(
    ("protocol", "test", "validation"), [("leave-one-out", (1,), (2,)), ("temporal", (1, 2), (3,))]
)
def test_nothing_is_chosen_on_the_test_of_a_split(dataset, config, tmp_path, protocol, test, validation):
    log, small = read_log(dataset, config.data), without_interest(config)
    settings = protocol_settings({"protocol": protocol, "lists": (30,) if protocol == "leave-one-out" else ()})
    first = chosen(log, settings, small, tmp_path)
    assert chosen(other_answers(log, *test), settings, small, tmp_path) == first
    other = chosen(other_answers(log, *validation), settings, small, tmp_path)
    assert [part for part in first if other[part] == first[part]] == []


def test_the_interest_model_is_not_judged_on_the_test(dataset, config, tmp_path):
    log, settings = read_log(dataset, config.data), protocol_settings({})
    first = chosen(log, settings, config, tmp_path / "first")
    assert chosen(other_answers(log, 1), settings, config, tmp_path / "test") == first
    other = chosen(other_answers(log, 2), settings, config, tmp_path / "validation")
    assert other["epochs"] != first["epochs"]


@pytest.mark.parametrize(("kept", "validation"), [((6, 7), "logged lists"), ((7,), "retrieved")])
def test_nothing_is_learned_on_the_judged_lists(config, tmp_path, kept, validation):
    found = {}
    for otherwise in (0, 7, 6):
        folder = logged_lists(tmp_path / f"data-{otherwise}", kept, otherwise)
        result = run_protocol(
            folder, tmp_path / f"out-{otherwise}", protocol_settings({"protocol": "lists"}), without_interest(config)
        )
        assert result.data["validation"] == validation
        found[otherwise] = result.chosen["seeds"][0]["blend"], result.findings[0].rows["blend"]["ndcg"].seeds
    assert found[7][0] == found[0][0]
    assert found[7][1] != found[0][1]
    # Without a list before it the event of the validation stays as it was.
    assert (found[6][0] == found[0][0]) is (6 not in kept)


@pytest.mark.parametrize("protocol", ["leave-one-out", "temporal", "cold"])
def test_the_refit_learns_the_validation_and_nothing_of_the_test(dataset, config, protocol):
    log = read_log(dataset, config.data)

    def split(of: Log) -> Split:
        return temporal(of, 0.2) if protocol == "temporal" else leave_one_out(of, cold=0.3 * (protocol == "cold"))

    def learned(of: Split) -> set[tuple[int, int, float]]:
        events = of.training_data([], "").complete
        assert events is not None
        return set(zip(events.user.tolist(), events.item.tolist(), events.timestamp.tolist(), strict=True))

    first = split(log)
    assert learned(split(other_answers(log, 1))) == learned(first)
    assert learned(split(other_answers(log, 3 if protocol == "temporal" else 2))) != learned(first)
    answers = {(ask.user, item, ask.time) for ask in first.test for item in ask.truth.tolist()}
    assert answers
    assert not answers & learned(first)
    if first.hidden is not None:
        assert not any(first.hidden[item] for _, item, _ in learned(first))


def test_an_answer_dated_before_its_list_is_not_in_the_history(config, tmp_path):
    """Clocks differ: what was asked for must not stand in the history for that."""
    dataset = logged_lists(tmp_path / "data", late=0.01)
    log, logged = read_log(dataset, config.data), read_lists(dataset, config.data)
    found = labelled_lists(log, logged.shown, logged.answers(), logged.first_answers())
    assert len(found) == 80
    for one in found:
        assert one.truth
        assert not set(one.truth) & set(one.request.history.item_ids)
        assert max(one.request.history.timestamps) < logged.first_answers()[one.request_id]
