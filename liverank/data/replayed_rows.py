"""Erased users leave the rows that `liverank data replay` let pass, for good.

A replayed row does not say when it came, and an erasure does not say of which rows it was: whoever was erased once has
no replayed rows. A user who comes back loses no new record by that, since runs read these from where they are.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.landing import flush
from liverank.errors import DataError
from liverank.progress import note

DRAFT = ".draft"


def without_erased(config: DataConfig) -> DataConfig:
    """Takes the users whom the live store has erased out of the replayed rows; the section without a folder left empty.

    Raises:
        DataError: the store cannot be opened, or a file of replayed rows cannot be read or written.
    """
    if config.replayed in ("auto", "none"):
        return config
    erased, folder, taken = erased_users(config.live_store), Path(config.replayed), 0
    for file in sorted(folder.glob("*.parquet")) if erased else ():
        taken += _forget(file, erased)
    if not taken:
        return config
    note(f"{taken:,} replayed rows are of users who were erased: they were deleted from {folder}.")
    left = any(folder.glob("*.parquet"))
    return config if left else config.model_copy(update={"replayed": "none"})


def erased_users(live_store: str) -> frozenset[str]:
    """The hash of every user whom the store has erased; none where there is no store."""
    from liverank.store import open_store, store_exists

    if not live_store or not store_exists(live_store):
        return frozenset()
    with closing(open_store(live_store)) as store:
        return frozenset(erasure.user for erasure in store.erasures())


def of_erased(rows: pa.Table, erased: frozenset[str]) -> pa.ChunkedArray:
    """Which rows are of an erased user; all false for tables without users."""
    from liverank.store import user_hash

    if c.USER_ID not in rows.column_names or not erased:
        return pa.chunked_array([pa.repeat(pa.scalar(False), rows.num_rows)])
    users = [user for user in pc.unique(rows[c.USER_ID]).to_pylist() if user is not None and user_hash(user) in erased]
    return pc.is_in(rows[c.USER_ID], pa.array(users, pa.string()))


def _forget(file: Path, erased: frozenset[str]) -> int:
    """Rewrites a file without the rows of erased users, and returns how many these were."""
    try:
        rows = pq.read_table(file)
        kept = rows.filter(pc.invert(of_erased(rows, erased)))
        if kept.num_rows == rows.num_rows:
            return 0
        if kept.num_rows:
            draft = file.with_name(f".{file.name}{DRAFT}")
            pq.write_table(kept, draft, compression="zstd")
            flush(draft)
            os.replace(draft, file)
        else:
            file.unlink()
        flush(file.parent)
    except (OSError, pa.ArrowException) as problem:
        raise DataError(
            f"{file} cannot be cleared of erased users: {problem}.", "Mend or delete the file."
        ) from problem
    return int(rows.num_rows - kept.num_rows)
