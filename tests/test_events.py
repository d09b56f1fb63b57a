"""The data contract: every record survives JSON, Arrow and back; what breaks it is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liverank import events
from liverank.errors import DataError

TEXT = st.text(max_size=20)
IDS = st.text(min_size=1, max_size=20)
MAPS = st.dictionaries(TEXT, TEXT, max_size=3)
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCORES = st.floats(-events.LARGEST_SCORE, events.LARGEST_SCORE)

ITEMS = st.builds(
    events.Item, item_id=IDS, title=TEXT, text=TEXT, category=TEXT, attributes=MAPS, available_from=st.none() | TIMES
)
USERS = st.builds(events.User, user_id=IDS, attributes=MAPS)
SHOWN = st.builds(
    events.ShownItem,
    item_id=IDS,
    position=st.integers(1, 1000),
    score=st.none() | SCORES,
    propensity=st.none() | st.floats(0.001, 1),
    incoming_position=st.none() | st.integers(1, 1000),
    incoming_score=st.none() | SCORES,
)
FEATURE_VALUES = st.builds(
    events.FeatureValues,
    names=st.lists(TEXT, max_size=3),
    item_ids=st.lists(IDS, max_size=2),
    values=st.lists(st.lists(FLOATS, max_size=3), max_size=2),
)
IMPRESSIONS = st.builds(
    events.Impression,
    impression_id=IDS,
    user_id=IDS,
    timestamp=TIMES,
    shown=st.lists(SHOWN, max_size=3),
    session_id=st.none() | TEXT,
    surface=TEXT,
    context=MAPS,
    model_version=TEXT,
    degraded=st.lists(TEXT, max_size=2),
    history_digest=TEXT,
    feature_values=st.none() | FEATURE_VALUES,
)
INTERACTIONS = st.builds(
    events.Interaction,
    event_id=IDS,
    user_id=IDS,
    item_id=IDS,
    type=st.text(min_size=1, max_size=9),
    timestamp=TIMES,
    value=FLOATS,
    impression_id=st.none() | TEXT,
    session_id=st.none() | TEXT,
    context=MAPS,
)
RECORDS = {"items": ITEMS, "users": USERS, "impressions": IMPRESSIONS, "interactions": INTERACTIONS}


@pytest.mark.parametrize("table", RECORDS)
def test_records_survive_json_and_arrow(table):
    schema = events.json_schema()

    @given(st.lists(RECORDS[table], max_size=3))
    def check(records):
        for record in records:
            line = events.encode_record(record)
            assert events.decode_record(line) == record
            assert events.decode_record(line, table) == record
            jsonschema.validate(json.loads(line), schema)
        assert events.from_table(events.to_table(records, table), table) == records

    check()


VALID = {"event_id": "e", "user_id": "u", "item_id": "i", "type": "click", "timestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"timestamp": "2026-01-01T00:00:00"}, "timezone"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"event_id": ""}, "event_id"),
        ({"user_id": 7}, "user_id"),
        ({"colour": "red"}, "colour"),
        ({"type": None}, "type"),
    ],
)
def test_a_record_that_breaks_the_contract_is_named(change, named):
    with pytest.raises(DataError, match=named):
        events.decode_record(json.dumps({**VALID, **change}), "interactions")


def test_a_record_without_a_tag_needs_a_table():
    with pytest.raises(DataError, match="record"):
        events.decode_record(json.dumps(VALID))


def test_timestamps_become_utc():
    east = events.decode_record(json.dumps({**VALID, "timestamp": "2026-01-01T08:00:00+08:00"}), "interactions")
    assert east.timestamp == datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=8))) + timedelta(hours=8)
    assert east.timestamp.utcoffset() == timedelta(0)
