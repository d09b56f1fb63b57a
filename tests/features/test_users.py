"""Attributes of users: those of test requests reach the features folder, nobody else's."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import User, to_table
from liverank.features.users import USERS_FILE, write_users

REQUESTS = pa.table({c.USER_ID: ["b", "a", "b", "c", "d"], c.SPLIT: [c.TEST, c.TEST, c.TEST, c.TRAIN, c.VALIDATION]})


def test_only_users_of_test_requests_are_written(tmp_path: Path) -> None:
    users = [User(user_id=name, attributes={"age": f"{at}"}) for at, name in enumerate("dcba")]
    pq.write_table(to_table(users, "users"), tmp_path / "users.parquet")
    out = tmp_path / "features"
    out.mkdir()
    write_users(tmp_path, REQUESTS, out)
    assert pq.read_table(out / USERS_FILE).to_pylist() == [
        {c.USER_ID: "a", c.ATTRIBUTES: [("age", "3")]},
        {c.USER_ID: "b", c.ATTRIBUTES: [("age", "2")]},
    ]


def test_a_dataset_without_users_makes_an_empty_table(tmp_path: Path) -> None:
    out = tmp_path / "features"
    out.mkdir()
    write_users(tmp_path, REQUESTS, out)
    assert pq.read_table(out / USERS_FILE).num_rows == 0


def test_users_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    (tmp_path / "users.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"users\.parquet cannot be read"):
        write_users(tmp_path, REQUESTS, tmp_path)
