"""Impressions of requests that named no user: examples of many users, none of whom knows another's past."""

from __future__ import annotations

from pathlib import Path

from serving.visitors import visitor
from tests.features.conftest import build, event, shown, write


def test_visitors_are_no_giant_user(tmp_path: Path) -> None:
    """Twenty answered lists without a session, and two sessions with ten each."""
    lists, events = [], []
    for n in range(40):
        session = None if n < 20 else f"s{n % 2}"
        user = visitor(session)
        lists.append(shown(f"l{n:02d}", user, ["i03", "i01", "i02"], n, session_id=session))
        events.append(event(f"e{n:02d}", user, "i01", n + 0.1, impression_id=f"l{n:02d}", session_id=session))
    rows = build(write(tmp_path / "data", events, lists), tmp_path / "out").requests()
    assert len({rows[f"l{n:02d}"]["user_id"] for n in range(40)}) == 22
    for n in range(40):
        row = rows[f"l{n:02d}"]
        assert row["labels"] == [0.0, 1.0, 0.0]
        assert len(row["history_item_ids"]) == (0 if n < 20 else (n - 20) // 2)


def test_a_list_whose_answer_names_another_user_gives_no_history(tmp_path: Path) -> None:
    lists = [shown(f"l{n:02d}", visitor(None), ["i03", "i01"], n) for n in range(20)]
    events = [event(f"e{n:02d}", "somebody", "i01", n + 0.1, impression_id=f"l{n:02d}") for n in range(20)]
    for row in build(write(tmp_path / "data", events, lists), tmp_path / "out").rows("requests"):
        assert row["history_item_ids"] == []
