"""UCI Online Retail: what is an interaction, what is not and why, and the figures of the whole file."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.dataset import read_dataset
from liverank.data.ingest import ingest, read_source_data
from liverank.data.sources.online_retail import COLUMNS
from liverank.data.sources.registry import format_of
from liverank.errors import DataError
from tests.conftest import real_data

LINES = [
    ("536365", "85123A", "WHITE HEART", 6, "2010-12-01 08:26:00", 2.55, 17850.0, "United Kingdom"),
    ("536365", "85123A", "WHITE HEART", 6, "2010-12-01 08:26:00", 2.55, 17850.0, "United Kingdom"),
    ("536366", "85123A", "CREAM HEART", 2, "2011-07-01 08:26:00", 2.95, 17851.0, "France"),
    ("536366", "22633", "HAND WARMER", 1, "2011-07-01 08:26:00", 0.0, 17851.0, "France"),
    ("C53637", "22633", "HAND WARMER", -1, "2011-07-01 09:00:00", 1.85, 17851.0, "France"),
    ("536367", "22633", None, 5, "2011-07-01 09:00:00", 0.0, None, "France"),
    ("536368", "POST", "POSTAGE", 1, "2011-07-01 09:00:00", 18.0, 17851.0, "France"),
    ("536368", "22633", "HAND WARMER", 0, "2011-07-01 09:00:00", 1.85, 17851.0, "France"),
    ("536369", "22633", "HAND WARMER", 1, "on Monday", 1.85, 17851.0, "France"),
]


def read_online_retail(source, timezone=""):
    return read_source_data(SourceConfig(source=source, format="online-retail", timezone=timezone))


@pytest.fixture(params=["parquet", "csv"])
def shop(request, tmp_path):
    frame = pd.DataFrame(LINES, columns=list(COLUMNS))
    path = tmp_path / f"shop.{request.param}"
    frame.to_parquet(path) if request.param == "parquet" else frame.to_csv(path, index=False)
    return path


def test_lines_that_are_purchases(shop):
    assert format_of(SourceConfig(source=str(shop))).name == "online-retail"
    events = read_online_retail(str(shop)).tables["interactions"].to_pylist()
    assert [event["event_id"] for event in events] == ["536365-0001", "536365-0002", "536366-0001", "536366-0002"]
    first, last = events[0], events[-1]
    assert (first["user_id"], first["item_id"], first["session_id"]) == ("17850", "85123A", "536365")
    assert (first["type"], first["value"]) == ("purchase", 6.0)
    assert first["context"] == [("country", "United Kingdom")]
    # London is on UTC in December and an hour ahead in July.
    assert first["timestamp"] == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert last["timestamp"] == datetime(2011, 7, 1, 7, 26, tzinfo=UTC)


def test_lines_that_are_none_keep_their_reason(shop):
    rejected = read_online_retail(str(shop)).rejected.to_pylist()
    assert [row["reason"].split(":")[0] for row in rejected] == [
        "cancelled invoice",
        "no customer",
        "fee or adjustment",
        "quantity is not positive",
        "invoice date is not a time",
    ]
    assert json.loads(rejected[1]["row"])["InvoiceNo"] == "536367"


def test_items_have_the_commonest_description_and_the_median_price(shop):
    items = {row["item_id"]: row for row in read_online_retail(str(shop)).tables["items"].to_pylist()}
    assert set(items) == {"85123A", "22633"}
    assert items["85123A"]["title"] == "WHITE HEART"
    assert items["85123A"]["attributes"] == [("median_price_gbp", "2.55")]
    assert items["22633"]["attributes"] == []


def test_the_zone_is_said_and_can_be_set(shop):
    assert "Europe/London" in read_online_retail(str(shop)).notes[0]
    utc = read_online_retail(str(shop), "UTC").tables["interactions"].column("timestamp")[3].as_py()
    assert utc == datetime(2011, 7, 1, 8, 26, tzinfo=UTC)


def test_hours_that_happen_twice_or_never_are_kept(tmp_path):
    dates = ["2011-10-30 01:30:00", "2011-03-27 01:30:00"]
    lines = [(f"53636{n}", "22633", "X", 1, date, 1.0, 17850.0, "EIRE") for n, date in enumerate(dates)]
    pd.DataFrame(lines, columns=list(COLUMNS)).to_parquet(tmp_path / "shop.parquet")
    times = read_online_retail(str(tmp_path / "shop.parquet")).tables["interactions"].column("timestamp").to_pylist()
    assert times == [datetime(2011, 10, 30, 0, 30, tzinfo=UTC), datetime(2011, 3, 27, 1, 0, tzinfo=UTC)]


def test_another_file_is_refused_by_its_columns(tmp_path):
    pd.DataFrame({"InvoiceNo": ["1"], "StockCode": ["2"]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no column Description, Quantity"):
        ingest(DataConfig(source=str(tmp_path / "x.parquet"), format="online-retail"), tmp_path / "out")


def test_a_file_without_a_purchase_says_why(tmp_path):
    lines = [("536365", "22633", "X", 1, "12/1/2010 8:26", 1.0, 17850.0, "EIRE")]
    pd.DataFrame(lines, columns=list(COLUMNS)).to_csv(tmp_path / "shop.csv", index=False)
    with pytest.raises(DataError, match="1 rows do not fit, most because: invoice date is not a time"):
        ingest(DataConfig(source=str(tmp_path / "shop.csv")), tmp_path / "out")


@pytest.fixture(scope="module")
def uci(tmp_path_factory):
    source = real_data("uci-online-retail/online_retail.parquet")
    folder = tmp_path_factory.mktemp("uci")
    ingest(DataConfig(source=str(source)), folder)
    return read_dataset(folder)


def test_the_whole_file_gives_the_published_figures(uci):
    events = uci.tables["interactions"]
    assert events.num_rows == 396_370
    assert pc.count_distinct(events.column("session_id")).as_py() == 18_405
    assert pc.count_distinct(events.column("user_id")).as_py() == 4_335
    assert pc.count_distinct(events.column("item_id")).as_py() == 3_659
    assert uci.tables["items"].num_rows == 3_659
    assert pc.count_distinct(events.column("event_id")).as_py() == events.num_rows


def test_no_line_of_the_whole_file_is_lost(uci):
    assert uci.tables["interactions"].num_rows + uci.rejected.num_rows == 541_909
    reasons = Counter(reason.split(":")[0] for reason in uci.rejected.column("reason").to_pylist())
    assert reasons == {"no customer": 134_697, "cancelled invoice": 9_288, "fee or adjustment": 1_554}


def test_every_item_of_the_whole_file_has_a_title(uci):
    titles = uci.tables["items"].column("title")
    assert pc.min(pc.utf8_length(titles)).as_py() > 2
    heart = uci.tables["items"].filter(pc.equal(uci.tables["items"].column("item_id"), pa.scalar("85123A")))
    assert heart.column("title").to_pylist() == ["WHITE HANGING HEART T-LIGHT HOLDER"]
