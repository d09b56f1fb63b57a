"""What arrives late: answers to lists of the training time, and more late events than a history is long."""

from __future__ import annotations

from pathlib import Path

from tests.features.conftest import at, build, event, shown, write


def test_an_answer_that_arrives_after_the_training_time_is_no_label_of_it(tmp_path: Path) -> None:
    lists = [shown(f"l{n:02d}", f"u{n % 3}", ["i01", "i02", "i03"], n) for n in range(40)]
    events = [event(f"e{n:02d}", f"u{n % 3}", "i02", n + 0.1, impression_id=f"l{n:02d}") for n in range(40)]
    late = event("late", "u2", "i03", 2.2, impression_id="l02", received_at=at(39.9))
    built = build(write(tmp_path / "data", [*events, late], lists), tmp_path / "out", max_requests=10)
    rows = {row["request_id"]: row for row in built.rows("requests")}
    assert rows["l02"]["split"] == "train"
    assert rows["l02"]["truth_item_ids"] == ["i02"]
    # An answer that came late, but before the end of the training time, is one.
    known = event("known", "u2", "i03", 2.2, impression_id="l02", received_at=at(12))
    again = build(write(tmp_path / "known", [*events, known], lists), tmp_path / "again", max_requests=10)
    rows = {row["request_id"]: row for row in again.rows("requests")}
    assert rows["l02"]["truth_item_ids"] == ["i02", "i03"]


def test_more_late_events_than_a_history_is_long_hide_nothing(tmp_path: Path) -> None:
    on_time = [event(f"a{n:02d}", "u", f"i{n:02d}", 100 + n) for n in range(6)]
    late = [event(f"b{n:03d}", "u", "i20", 1 + n / 1000, received_at=at(150)) for n in range(200)]
    tail = [event(f"z{n}", "v", "i21", 160 + n) for n in range(5)]
    asked = [event("ask", "u", "i09", 170)]
    built = build(write(tmp_path / "data", [*on_time, *late, *tail, *asked]), tmp_path / "out", history_length=4)
    rows = [row for row in built.rows("requests") if row["user_id"] == "u" and row["timestamp"] == at(170)]
    assert [row["history_item_ids"] for row in rows] == [["i02", "i03", "i04", "i05"]]
