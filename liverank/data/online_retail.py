"""Reads UCI Online Retail: one year of a shop's invoice lines, dirt included.

Chen, D. (2015), Online Retail, UCI Machine Learning Repository, https://doi.org/10.24432/C5BW33, CC BY 4.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from liverank import columns as c
from liverank.data import values
from liverank.data.dataset import Dataset, empty_tables, rejected_rows
from liverank.data.files import locate, read_raw
from liverank.errors import DataError
from liverank.events import INTERACTION_SCHEMA, ITEM_SCHEMA

COLUMNS: Final = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country",
)  # fmt: skip
ZONE: Final = "Europe/London"
"""The file's dates carry no zone; the shop is in the United Kingdom."""

NO_CUSTOMER: Final = "no customer"
CANCELLED: Final = "cancelled invoice"
NO_ITEM: Final = "fee or adjustment: the stock code is not an item's five digits"
NOT_BOUGHT: Final = "quantity is not positive"
NO_TIME: Final = "invoice date is not a time"


def read_online_retail(source: str, timezone: str | None = None) -> Dataset:
    """Invoice lines as purchases; lines that are none become rejected rows with the reason.

    A line is a purchase when it has a customer, its invoice is not cancelled (C...), its stock code starts with five
    digits (85123A is an item beside 85123; POST, M or BANK CHARGES are fees) and its quantity is positive. A repeated
    line is a purchase of its own. `value` is the quantity, the session is the invoice, a user is a customer.

    Args:
        source: one Parquet or CSV file, a folder or a glob of them.
        timezone: the zone of the dates; None: Europe/London.

    Raises:
        DataError: a file is missing, unreadable or lacks a column.
    """
    files, _ = locate(source)
    raw = pa.concat_tables([_read(file) for file in files], promote_options="permissive")
    zone = timezone or ZONE
    lines = _lines(raw, zone)
    keep = lines["reason"].isna().to_numpy()
    bought = lines[keep]
    tables = empty_tables()
    tables["interactions"] = _interactions(bought)
    tables["items"] = _items(bought)
    refused = raw.filter(pa.array(~keep))
    reasons = pa.array(lines.loc[~keep, "reason"], pa.string())
    return Dataset(
        tables,
        rejected_rows("interactions", refused, reasons),
        notes=_notes(bought, zone),
        source=f"UCI Online Retail ({Path(source).name})",
        format="online-retail",
    )


def _read(file: Path) -> pa.Table:
    rows = read_raw(file).rows
    missing = [name for name in COLUMNS if name not in rows.column_names]
    if missing:
        raise DataError(
            f"{file} is not UCI Online Retail: it has no column {', '.join(missing)}; "
            f"found {', '.join(rows.column_names)}.",
            f"Expected {', '.join(COLUMNS)}; or set data.format to contract.",
        )
    return rows.select(list(COLUMNS))


def _lines(raw: pa.Table, zone: str) -> pd.DataFrame:
    """The contract's values for each invoice line, with the reason why it is no purchase (None: it is one)."""
    invoice, code = _text(raw, "InvoiceNo").fillna(""), _text(raw, "StockCode").fillna("")
    times, bad, _ = values.instants(values.flat(raw.column("InvoiceDate")), zone)
    lines = pd.DataFrame(
        {
            "invoice": invoice,
            "code": code,
            "title": _text(raw, "Description"),
            "quantity": _number(raw, "Quantity"),
            "price": _number(raw, "UnitPrice"),
            # A CSV made from numbers with gaps writes 17850.0.
            "customer": _text(raw, "CustomerID").str.removesuffix(".0"),
            "country": _text(raw, "Country").fillna(""),
            "line": invoice.groupby(invoice, sort=False).cumcount() + 1,
        }
    )
    lines["micros"] = times.cast(pa.int64()).fill_null(0).to_numpy()
    no_time = bad | values.mask(times.is_null())
    # The first that holds is the reason, so that the counts add up.
    lines["reason"] = np.select(
        [
            invoice.str.startswith("C"),
            lines["customer"].isna(),
            ~code.str.match(r"\d{5}"),
            ~(lines["quantity"] > 0),
            no_time,
        ],
        [CANCELLED, NO_CUSTOMER, NO_ITEM, NOT_BOUGHT, NO_TIME],
        default="",
    )
    lines["reason"] = lines["reason"].where(lines["reason"] != "", None)
    return lines


def _text(raw: pa.Table, name: str) -> pd.Series:
    return pd.Series(values.strings(values.flat(raw.column(name))).to_pandas(), dtype=object).str.strip()


def _number(raw: pa.Table, name: str) -> pd.Series:
    return pd.Series(values.numbers(values.flat(raw.column(name)))[0].to_pandas(), dtype="float64")


def _interactions(bought: pd.DataFrame) -> pa.Table:
    countries = bought["country"].astype("category")
    contexts = pa.array([[("country", name)] for name in countries.cat.categories], pa.map_(pa.string(), pa.string()))
    n = len(bought)
    return pa.table(
        {
            c.EVENT_ID: pa.array(bought["invoice"] + "-" + bought["line"].astype(str).str.zfill(4), pa.string()),
            c.USER_ID: pa.array(bought["customer"], pa.string()),
            c.ITEM_ID: pa.array(bought["code"], pa.string()),
            c.TYPE: pa.repeat(pa.scalar("purchase"), n),
            c.TIMESTAMP: pa.array(bought["micros"].to_numpy(), values.INSTANT),
            c.VALUE: pa.array(bought["quantity"].to_numpy()),
            c.IMPRESSION_ID: pa.nulls(n, pa.string()),
            c.SESSION_ID: pa.array(bought["invoice"], pa.string()),
            c.CONTEXT: contexts.take(pa.array(countries.cat.codes.to_numpy())),
            c.RECEIVED_AT: pa.nulls(n, values.INSTANT),
        },
        schema=INTERACTION_SCHEMA,
    )


def _items(bought: pd.DataFrame) -> pa.Table:
    """What was bought: the most frequent description (the first by letters among equals) and the median price."""
    seen = bought.dropna(subset=["title"]).groupby(["code", "title"], sort=True).size().reset_index(name="n")
    titles = seen.sort_values(["code", "n"], ascending=[True, False], kind="stable").drop_duplicates("code")
    prices = bought[bought["price"] > 0].groupby("code")["price"].median()
    codes = np.sort(bought["code"].unique())
    title = titles.set_index("code")["title"].reindex(codes).fillna("")
    price = prices.reindex(codes)
    return pa.table(
        {
            c.ITEM_ID: pa.array(codes, pa.string()),
            c.TITLE: pa.array(title, pa.string()),
            c.TEXT: pa.repeat(pa.scalar(""), len(codes)),
            c.CATEGORY: pa.repeat(pa.scalar(""), len(codes)),
            c.ATTRIBUTES: [[] if np.isnan(value) else [("median_price_gbp", f"{value:.2f}")] for value in price],
            c.AVAILABLE_FROM: pa.nulls(len(codes), values.INSTANT),
        },
        schema=ITEM_SCHEMA,
    )


def _notes(bought: pd.DataFrame, zone: str) -> list[str]:
    return [
        f"The dates carry no zone: they are read as {zone} and kept as UTC.",
        f"{len(bought):,} invoice lines are purchases: {bought['invoice'].nunique():,} baskets of "
        f"{bought['customer'].nunique():,} customers, {bought['code'].nunique():,} items. Item text is the "
        "description used most often for a stock code.",
        "UCI Online Retail: D. Chen (2015), doi.org/10.24432/C5BW33, CC BY 4.0.",
    ]
