"""The text of a part of the quality page, from figures made up."""

from __future__ import annotations

from typing import Any

from benchmarks.page import scratch
from benchmarks.quality.page import HEAD, _data


def result(training: dict[str, Any]) -> dict[str, Any]:
    settings = {"protocol": "leave-one-out", "k": 10, "seeds": 3, "lists": [], "cold": 0.0}
    return {"data": {"name": "made", "users": 6040}, "settings": settings, "training": training}


def test_a_part_says_what_was_asked_and_what_it_was_trained_with():
    lines = _data(result({"training.count.half_life_days": 1e6, "training.seed": 8})).splitlines()
    assert lines[0] == "name made, users 6,040."
    assert lines[2] == "Settings: protocol leave-one-out, k 10, seeds 3."
    assert lines[4] == (
        "Training: the default configuration, but for training.count.half_life_days 1,000,000, training.seed 8."
    )
    assert _data(result({})).splitlines()[4] == "Training: the default configuration."


def test_the_head_says_why_leave_one_out_has_no_decay():
    assert "Leave-one-out counts have no decay by age: users are asked at the end of their own events" in HEAD


def test_the_folder_of_what_is_written_meanwhile_is_made_and_emptied(tmp_path):
    place = tmp_path / "on" / "a-larger-disk"
    with scratch(place) as folder:
        (folder / "data").touch()
        assert folder.parent == place
    assert list(place.iterdir()) == []
