"""The synthetic world's truth as files and as the lines that a person reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.catalogue import Ints
from liverank.data.synthetic_tables import instants, user_ids
from liverank.data.truth import Truth
from liverank.data.visits import DAY, START_MICROSECONDS
from liverank.output import output_folder
from liverank.progress import stage

CHANCE = "chance"


def write_truth(truth: Truth, users: Ints | None, at: datetime, out: Path) -> int:
    """Writes what is hidden of the world into a folder: `items.parquet`, `users.parquet` and `chances.parquet`.

    Args:
        truth: the world.
        users: whose chances to write, by number; None: everybody's.
        at: the moment.
        out: the folder; files appear under their names when they are whole.

    Returns:
        The rows of `chances.parquet`, one for each user and item.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    output_folder(out)
    _write(iter([_items(truth)]), out / "items.parquet")
    _write(iter([_users(truth, at)]), out / "users.parquet")
    chosen = np.arange(truth.settings.users) if users is None else users
    return _write(_chances(truth, chosen, at), out / "chances.parquet")


def likeliest(
    truth: Truth, users: Sequence[str], at: datetime, top: int
) -> Iterator[tuple[str, list[tuple[str, float, str]]]]:
    """Each user and the `top` items most likely clicked: id, chance, title."""
    titles = dict(
        zip(*pq.read_table(truth.dataset / "items.parquet", columns=[c.ITEM_ID, c.TITLE]).columns, strict=True)
    )
    named = {key.as_py(): value.as_py() for key, value in titles.items()}
    items = truth.items.to_pylist()
    for name, number in zip(users, truth.numbers(users), strict=True):
        chance = truth.preferences(np.array([number]), np.arange(len(items)), at)[0]
        best = np.argsort(-chance, kind="stable")[:top]
        yield name, [(items[n], float(chance[n]), named.get(items[n], "")) for n in best]


def _items(truth: Truth) -> pa.Table:
    world = truth.tastes.catalogue
    launch = START_MICROSECONDS + (world.launch * DAY).astype(np.int64)
    hidden = {"style": world.style, "topic": world.topic, "quality": world.quality, "appeal": world.appeal(0).weight}
    return pa.table({c.ITEM_ID: truth.items, **hidden, c.AVAILABLE_FROM: instants(launch)})


def _users(truth: Truth, at: datetime) -> pa.Table:
    settings, audience = truth.settings, truth.tastes.audience
    numbers = np.arange(settings.users)
    moment = (at.timestamp() * 1e6 - START_MICROSECONDS) / DAY
    taste = audience.taste(numbers, np.full(len(numbers), moment))
    return pa.table({c.USER_ID: user_ids(numbers, settings), "bot": audience.bots, "topic_taste": list(taste)})


def _chances(truth: Truth, users: Ints, at: datetime) -> Iterator[pa.Table]:
    with stage("true chances", total=len(users)) as progress:
        for some, chance in truth.blocks(users, np.arange(len(truth.items)), at):
            yield pa.table(
                {
                    c.USER_ID: pa.array(np.repeat(user_ids(some, truth.settings), len(truth.items))),
                    c.ITEM_ID: pa.chunked_array([truth.items] * len(some)),
                    CHANCE: chance.astype(np.float32).ravel(),
                }
            )
            progress.advance(len(some))


def _write(parts: Iterator[pa.Table], path: Path) -> int:
    aside, rows, writer = path.with_name(f".{path.name}"), 0, None
    for part in parts:
        writer = writer or pq.ParquetWriter(aside, part.schema, compression="zstd")
        writer.write_table(part)
        rows += part.num_rows
    if writer is not None:
        writer.close()
        os.replace(aside, path)
    return rows
