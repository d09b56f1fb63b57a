"""The benchmark of new items measures a real bundle and says what it found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import interest_bundle, new_items


def test_the_part_has_a_line_for_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("USERS", 30), ("ITEMS", 60), ("LISTS", 2)):
        monkeypatch.setattr(interest_bundle, name, value)
    text = new_items.run(tmp_path, sizes=(60, 200))
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| 60 ", "| 200 "))]
    assert [row[0] for row in rows] == ["60", "200"]
    assert all(float(value) >= 0 for row in rows for value in row[1:])
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in rows)
    assert "A list of 100 candidates" in text
