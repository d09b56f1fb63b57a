"""Dirty sources: written byte by byte, read as a run reads them, or refused with a hint."""

from __future__ import annotations

import pytest

from liverank.config.data import DataConfig
from liverank.data.ingest import ingest
from liverank.errors import DataError
from tests.data.writing import read_contract

HEAD = "user_id,item_id,timestamp,type"
ROW = "u1,a,2026-01-31T12:00:00Z,click"


def refused(source, **settings):
    with pytest.raises(DataError) as caught:
        ingest(DataConfig(source=str(source), **settings), source.parent / "out")
    assert caught.value.hint, "an error says what to do"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def events(source, **settings):
    return read_contract(source, **settings).tables["interactions"].to_pylist()


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
