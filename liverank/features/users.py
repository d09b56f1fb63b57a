"""The users' attributes that evaluation compares groups of users by; no ranker reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.features.parts import write_aside

USERS_FILE: Final = "users.parquet"


def write_users(dataset: Path, requests: pa.Table, out: Path) -> None:
    """Writes the attributes of the users of test requests, sorted by id; no row of anybody else.

    Args:
        dataset: the accepted dataset; it may be without users.
        requests: the table of requests.
        out: the features folder.

    Raises:
        DataError: the users cannot be read.
    """
    asked = pc.unique(requests.filter(pc.equal(requests[c.SPLIT], c.TEST))[c.USER_ID])
    write_aside(_users(dataset / USERS_FILE, asked).sort_by(c.USER_ID), out / USERS_FILE)


def _users(path: Path, asked: pa.Array) -> pa.Table:
    if not path.exists():
        return ARROW_SCHEMAS["users"].empty_table()
    try:
        names = ARROW_SCHEMAS["users"].names
        return pq.read_table(path, columns=names, filters=pc.field(c.USER_ID).isin(asked))
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "Run ingest and validate first.") from problem
