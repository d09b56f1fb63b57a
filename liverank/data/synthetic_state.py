"""Where a synthetic dataset left its users: its settings, its end, and what decides what users want next."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.data.catalogue import Ints
from liverank.data.dataset import read_source
from liverank.data.synthetic_settings import SyntheticSettings
from liverank.data.synthetic_tables import user_ids
from liverank.data.tastes import MEMORY, State
from liverank.errors import DataError


def settings_of(dataset: Path) -> SyntheticSettings:
    """The settings that a dataset was generated with.

    Raises:
        DataError: it is not synthetic.
    """
    known = read_source(dataset).get("generator")
    if not known:
        raise DataError(
            f"{dataset} is not synthetic, so nobody knows what its users would click.",
            "Use a folder written by `liverank data generate`.",
        )
    return SyntheticSettings.model_validate(known)


def end_of(dataset: Path) -> int:
    """The time of the last impression, in microseconds."""
    import duckdb

    path = str(dataset / "impressions.parquet")
    (found,) = duckdb.execute(f"SELECT epoch_us(max({c.TIMESTAMP})) FROM read_parquet(?)", [path]).fetchall()
    return int(found[0])


def state_at(dataset: Path, settings: SyntheticSettings, users: Ints, at: datetime | None = None) -> State:
    """What each of `users` (by number) had clicked last before `at` (None: in the end), in the order of `users`.

    Raises:
        DataError: the log keeps no event that tells of every click.
    """
    import duckdb

    query = f"""
        SELECT user_id, item_id FROM (
            SELECT DISTINCT ON (event_id) * FROM read_parquet($path)
            WHERE {c.TYPE} = $type AND starts_with({c.EVENT_ID}, 'event-') AND {c.USER_ID} IN (SELECT name FROM wanted)
                AND ($at IS NULL OR {c.TIMESTAMP} < $at)
        )
        QUALIFY row_number() OVER (PARTITION BY {c.USER_ID} ORDER BY {c.TIMESTAMP} DESC, {c.EVENT_ID} DESC) <= {MEMORY}
        ORDER BY {c.USER_ID}, {c.TIMESTAMP}, {c.EVENT_ID}
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("wanted", pa.table({"name": user_ids(users, settings)}))
        parameters = {"path": str(dataset / "interactions.parquet"), "type": _tells(settings), "at": at}
        found = connection.sql(query, params=parameters).to_arrow_table()
    state, place = State(len(users)), {int(user): n for n, user in enumerate(users)}
    rows = np.array([place[user] for user in _numbers(found.column(c.USER_ID)).tolist()], np.int64)
    state.remember(rows, _numbers(found.column(c.ITEM_ID)))
    return state


def _tells(settings: SyntheticSettings) -> str:
    """The type of event that stands for every click."""
    if "click" in settings.logged:
        return "click"
    if "cart" in settings.logged and settings.cart_rate == 1:
        return "cart"
    if "purchase" in settings.logged and settings.cart_rate == settings.purchase_rate == 1:
        return "purchase"
    raise DataError(
        "The log of this world does not keep clicks, so that nobody knows what its users want next.",
        "Generate it with `click` among the logged types.",
    )


def _numbers(ids: pa.ChunkedArray) -> Ints:
    import pyarrow.compute as pc

    return np.asarray(pc.replace_substring_regex(ids, r"^\D+", "").cast(pa.int64()).to_numpy(), np.int64)
