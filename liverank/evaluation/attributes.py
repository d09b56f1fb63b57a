"""What a features folder says of items and users beyond what the rankers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.errors import DataError

USERS_FILE = "users.parquet"
"""Of a features folder; one that an earlier version made has none."""


@dataclass(frozen=True)
class Told:
    """Attributes that reach evaluation."""

    users: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """User id -> attributes."""
    providers: Mapping[str, str] = field(default_factory=dict)
    """Item id -> who offers it."""


def read_told(features: Path, provider_attribute: str) -> Told:
    """What a features folder says of users and of the items' providers.

    Raises:
        DataError: a table is there but cannot be read.
    """
    return Told(user_attributes(features), item_attribute(features, provider_attribute))


def item_attribute(features: Path, name: str) -> dict[str, str]:
    """Item id -> value of one attribute, for the items that have it.

    Raises:
        DataError: the items cannot be read.
    """
    return {item: values[name] for item, values in _attributes(features / "items.parquet", c.ITEM_ID) if name in values}


def user_attributes(features: Path) -> dict[str, Mapping[str, str]]:
    """User id -> attributes, for the users that have any; empty for a folder without them.

    Raises:
        DataError: the file is there but cannot be read.
    """
    path = features / USERS_FILE
    return {user: values for user, values in _attributes(path, c.USER_ID) if values} if path.exists() else {}


def _attributes(path: Path, key: str) -> list[tuple[str, dict[str, str]]]:
    try:
        if c.ATTRIBUTES not in pq.read_schema(path).names:
            return []
        table = pq.read_table(path, columns=[key, c.ATTRIBUTES])
    except (OSError, pa.ArrowException) as problem:
        raise DataError(f"{path} cannot be read: {problem}.", "Run the features step again.") from problem
    pairs = zip(table[key].to_pylist(), table[c.ATTRIBUTES].to_pylist(), strict=True)
    return [(one, {name: value for name, value in values or () if value}) for one, values in pairs]
