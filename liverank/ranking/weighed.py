"""A dataset folder as protocols learn from it: every item that is named, and what each interaction is worth."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from liverank import columns as c
from liverank.config.data import DataConfig
from liverank.data.dataset import read_table
from liverank.ranking.catalogue import Catalogue, catalogue_of


def read_weighed(dataset: Path, config: DataConfig) -> tuple[Catalogue, pa.Table]:
    """The items, those that only interactions know without text, and the interactions with a column `weight`.

    Weights of types are the configuration's; a type without one counts 0, as in the features step.

    Raises:
        DataError: a table is missing or unreadable.
    """
    items, interactions = read_table(dataset, "items"), read_table(dataset, "interactions")
    catalogue = catalogue_of(_with_unlisted(items, interactions))
    return catalogue, interactions.append_column(c.WEIGHT, _weights(interactions[c.TYPE], config))


def _weights(types: pa.ChunkedArray, config: DataConfig) -> pa.Array:
    names = list(config.event_weights)
    weights = pa.array([float(config.event_weights[name]) for name in names] or [0.0])
    return pc.fill_null(weights.take(pc.index_in(types.combine_chunks(), pa.array(names, pa.string()))), 0.0)


def _with_unlisted(items: pa.Table, interactions: pa.Table) -> pa.Table:
    named = pc.unique(interactions[c.ITEM_ID])
    unlisted = named.filter(pc.invert(pc.is_in(named, items[c.ITEM_ID].combine_chunks())))
    rows = [{c.ITEM_ID: item} for item in sorted(unlisted.to_pylist())]
    return pa.concat_tables([items, pa.Table.from_pylist(rows, schema=items.schema)]) if rows else items
