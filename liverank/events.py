"""The data contract: item, user, impression and interaction, the same in files, over REST and in the live store.

Each record is a frozen, closed struct. Timestamps are UTC with a zone, ids are non-empty strings, `event_id` and
`impression_id` make writes idempotent. `ARROW_SCHEMAS` is the same contract for Parquet, `json_schema()` as published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from liverank import columns as c
from liverank.errors import DataError
from liverank.instants import in_utc

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Timestamp = Annotated[datetime, msgspec.Meta(tz=True, description="an instant with a zone, kept as UTC")]
LAST_POSITION: Final = 2**31 - 1
"""Positions are kept in 32 bits."""
LARGEST_SCORE: Final = 1e15
"""Of either sign. Scores are ranked by in single precision, where squares of larger ones do not fit long lists."""
Score = Annotated[float, msgspec.Meta(ge=-LARGEST_SCORE, le=LARGEST_SCORE)]
Position = Annotated[int, msgspec.Meta(ge=1, le=LAST_POSITION)]


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="record", tag="item"):
    """Something that can be ranked; title and text may be in any language."""

    item_id: Identifier
    title: str = ""
    text: str = ""
    category: str = ""
    attributes: dict[str, str] = {}
    available_from: Timestamp | None = None


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="record", tag="user"):
    """A user with attributes; a user without attributes needs no record."""

    user_id: Identifier
    attributes: dict[str, str] = {}


class ShownItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One line of a shown list, and where the proposer had it.

    A list that a ranker has re-ordered says nothing of the proposer's order in its positions: without the incoming ones
    the next model would learn from its predecessor's order and meet the proposer's when it serves.
    """

    item_id: Identifier
    position: Annotated[Position, msgspec.Meta(description="1 is the top of the list")]
    score: Score | None = None
    propensity: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    incoming_position: Annotated[Position, msgspec.Meta(description="position in the order that came in")] | None = None
    incoming_score: Score | None = None


class FeatureValues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of candidate features, before scaling, that a ranking used for some lines of its list."""

    names: list[str]
    item_ids: list[Identifier]
    values: Annotated[list[list[float]], msgspec.Meta(description="one row an item, in the order of the names")]


class ExperimentArm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of an experiment a list belongs to."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="the experiment's")]
    variant: Annotated[str, msgspec.Meta(max_length=64, description="the user's; empty for an interleaved list")] = ""
    teams: Annotated[
        list[str],
        msgspec.Meta(description="interleaved: whose line each shown item is, in their order; empty: a rule's"),
    ] = []


class Impression(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="record", tag="impression"
):
    """A list as a user saw it, with what is needed to evaluate a later ranker on it without bias."""

    impression_id: Identifier
    user_id: Identifier
    timestamp: Timestamp
    shown: list[ShownItem]
    session_id: str | None = None
    surface: str = ""
    context: dict[str, str] = {}
    model_version: str = ""
    degraded: list[str] = []
    history_digest: str = ""
    """Length and hash of the history that the ranking used (`liverank.features.digest`); empty where nobody said."""
    feature_values: FeatureValues | None = None
    """What the ranking knew of some shown items, in a sample of the impressions (`serving.feature_log_share`)."""
    experiment_arm: ExperimentArm | None = None
    """The variant that the user has in the experiment of that time (`serving.experiment`)."""


class Interaction(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="record", tag="interaction"
):
    """Something a user did with an item; the weight of each `type` is in the configuration."""

    event_id: Identifier
    user_id: Identifier
    item_id: Identifier
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    timestamp: Timestamp
    value: float = 1.0
    impression_id: str | None = None
    session_id: str | None = None
    context: dict[str, str] = {}
    received_at: Timestamp | None = None
    """When the system learned of it; None: when it happened. A request made before that instant knew nothing of it."""


Record = Item | User | Impression | Interaction

_INSTANT = pa.timestamp("us", tz="UTC")
_STRINGS = pa.map_(pa.string(), pa.string())


def _schema(*fields: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=optional) for name, kind, optional in fields])


ITEM_SCHEMA: Final = _schema(
    (c.ITEM_ID, pa.string(), False),
    (c.TITLE, pa.string(), True),
    (c.TEXT, pa.string(), True),
    (c.CATEGORY, pa.string(), True),
    (c.ATTRIBUTES, _STRINGS, True),
    (c.AVAILABLE_FROM, _INSTANT, True),
)
USER_SCHEMA: Final = _schema((c.USER_ID, pa.string(), False), (c.ATTRIBUTES, _STRINGS, True))
SHOWN_ITEM: Final = pa.struct(
    [
        pa.field(c.ITEM_ID, pa.string()),
        pa.field(c.POSITION, pa.int32()),
        pa.field(c.SCORE, pa.float64()),
        pa.field(c.PROPENSITY, pa.float64()),
        pa.field(c.INCOMING_POSITION, pa.int32()),
        pa.field(c.INCOMING_SCORE, pa.float64()),
    ]
)
FEATURE_VALUES: Final = pa.struct(
    [
        pa.field(c.NAMES, pa.list_(pa.string())),
        pa.field(c.ITEM_IDS, pa.list_(pa.string())),
        pa.field(c.VALUES, pa.list_(pa.list_(pa.float64()))),
    ]
)
EXPERIMENT_ARM: Final = pa.struct(
    [
        pa.field(c.NAME, pa.string()),
        pa.field(c.VARIANT, pa.string()),
        pa.field(c.TEAMS, pa.list_(pa.string())),
    ]
)
IMPRESSION_SCHEMA: Final = _schema(
    (c.IMPRESSION_ID, pa.string(), False),
    (c.USER_ID, pa.string(), False),
    (c.TIMESTAMP, _INSTANT, False),
    (c.SHOWN, pa.list_(SHOWN_ITEM), False),
    (c.SESSION_ID, pa.string(), True),
    (c.SURFACE, pa.string(), True),
    (c.CONTEXT, _STRINGS, True),
    (c.MODEL_VERSION, pa.string(), True),
    (c.DEGRADED, pa.list_(pa.string()), True),
    (c.HISTORY_DIGEST, pa.string(), True),
    (c.FEATURE_VALUES, FEATURE_VALUES, True),
    (c.EXPERIMENT_ARM, EXPERIMENT_ARM, True),
)
INTERACTION_SCHEMA: Final = _schema(
    (c.EVENT_ID, pa.string(), False),
    (c.USER_ID, pa.string(), False),
    (c.ITEM_ID, pa.string(), False),
    (c.TYPE, pa.string(), False),
    (c.TIMESTAMP, _INSTANT, False),
    (c.VALUE, pa.float64(), True),
    (c.IMPRESSION_ID, pa.string(), True),
    (c.SESSION_ID, pa.string(), True),
    (c.CONTEXT, _STRINGS, True),
    (c.RECEIVED_AT, _INSTANT, True),
)

RECORD_TYPES: Final[Mapping[str, type[Any]]] = {
    "items": Item,
    "users": User,
    "impressions": Impression,
    "interactions": Interaction,
}
"""Table name (also the file's stem in a dataset folder) -> record type."""

ARROW_SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    "items": ITEM_SCHEMA,
    "users": USER_SCHEMA,
    "impressions": IMPRESSION_SCHEMA,
    "interactions": INTERACTION_SCHEMA,
}
"""Table name -> Arrow schema, columns in contract order."""


INSTANTS: Final[Mapping[type[Any], tuple[str, ...]]] = {
    Item: (c.AVAILABLE_FROM,),
    Impression: (c.TIMESTAMP,),
    Interaction: (c.TIMESTAMP, c.RECEIVED_AT),
}
"""Record type -> its fields that are instants."""


def decode_record(line: bytes | str, table: str | None = None) -> Any:
    """Reads one JSON record; `table` says which, else its `record` field does.

    Raises:
        DataError: the line is not valid JSON or breaks the contract; the message names the field.
    """
    kind: Any = RECORD_TYPES[table] if table else Record
    try:
        return to_utc(msgspec.json.decode(line, type=kind))
    except msgspec.DecodeError as problem:
        raise DataError(
            f"This record breaks the data contract: {problem}.", "docs/contract.md lists its fields."
        ) from problem


def to_utc(record: Any) -> Any:
    """The same record with its instants in UTC.

    Raises:
        DataError: in UTC one would lie outside the years 1 to 9999.
    """
    moved = {}
    for name in INSTANTS.get(type(record), ()):
        at = getattr(record, name)
        if at is not None and at.tzinfo is not UTC:
            moved[name] = in_utc(at, name)
    return msgspec.structs.replace(record, **moved) if moved else record


def encode_record(record: Record) -> bytes:
    """One record as JSON on one line, with its `record` tag."""
    return msgspec.json.encode(record)


def to_table(records: Iterable[Any], table: str) -> pa.Table:
    """Records of one kind as an Arrow table in the contract's schema."""
    rows = list(records)
    schema = ARROW_SCHEMAS[table]
    return pa.table([_arrow([getattr(row, item.name) for row in rows], item.type) for item in schema], schema=schema)


def _arrow(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Fields of records as a column: by column is three times as fast as by row."""
    if pa.types.is_map(kind):
        return pa.array([list(value.items()) for value in values], kind)
    if pa.types.is_struct(kind):
        return pa.array([msgspec.to_builtins(value) for value in values], kind)
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return pa.array(values, kind)
    lines = [line for value in values for line in value]
    fields = list(kind.value_type)
    structs = pa.StructArray.from_arrays(
        [_arrow([getattr(x, f.name) for x in lines], f.type) for f in fields], fields=fields
    )
    ends = np.cumsum([0, *(len(value) for value in values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), structs, type=kind)


def from_table(table: pa.Table, name: str) -> list[Any]:
    """The rows of a contract table as records; `name` is its key in `RECORD_TYPES`."""
    kind = RECORD_TYPES[name]
    rows = table.to_pylist()
    for row in rows:
        for field in (c.ATTRIBUTES, c.CONTEXT):
            if field in row:
                row[field] = dict(row[field] or [])
        for field in [key for key, value in row.items() if value is None]:
            del row[field]
    return [msgspec.convert(row, kind) for row in rows]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the four records."""
    (reference,), definitions = msgspec.json.schema_components([Record], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "liverank data contract",
        **reference,
        "$defs": json.loads(json.dumps(definitions)),
    }
