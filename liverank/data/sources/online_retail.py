"""Reads UCI Online Retail: one year of a shop's invoice lines, dirt included.

Chen, D. (2015), Online Retail, UCI Machine Learning Repository, https://doi.org/10.24432/C5BW33, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from liverank import columns as c
from liverank.config.data import SourceConfig
from liverank.data import values
from liverank.data.dataset import rejected_rows
from liverank.data.files import data_files, header, read_raw
from liverank.data.locations import Location
from liverank.data.sources.parts import Batch, Format, Note, Parts, Refused
from liverank.data.values import Mask
from liverank.errors import DataError
from liverank.events import INTERACTION_SCHEMA

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


def recognises(config: SourceConfig) -> bool:
    """Whether a data file of the source has the columns of UCI Online Retail."""
    try:
        files, _ = data_files(config.source)
        return set(COLUMNS) <= set(header(files[0], config.encoding))
    except DataError:
        return False


def read(config: SourceConfig) -> Parts:
    """Invoice lines as purchases; lines that are none are refused with the reason.

    A line is a purchase when it has a customer, its invoice is not cancelled (C...), its stock code starts with five
    digits (85123A is an item beside 85123; POST, M or BANK CHARGES are fees) and its quantity is positive. A repeated
    line is a purchase of its own. `value` is the quantity, the session is the invoice, a user is a customer. Dates are
    in `data.timezone`, else in Europe/London.

    Raises:
        DataError: a file is missing, unreadable or lacks a column.
    """
    files, _ = data_files(config.source)
    zone = config.timezone or ZONE
    catalogue, numbers = Catalogue(), dict[str, int]()
    for file in files:
        for raw in read_raw(file, config.encoding):
            if raw.rejected.num_rows:
                yield Refused(raw.rejected)
            rows = _checked(raw.rows, file)
            lines = _lines(rows, zone, numbers)
            keep = lines["reason"].isna().to_numpy()
            bought = lines[keep]
            catalogue.add(bought)
            yield Batch("interactions", _interactions(bought), str(file))
            yield from _refused(rows, lines["reason"], keep, raw.lines, file)
    yield Batch("items", catalogue.items(), files[0].name)
    yield from (Note(text) for text in catalogue.notes(zone))


def _checked(rows: pa.Table, file: Location) -> pa.Table:
    missing = [name for name in COLUMNS if name not in rows.column_names]
    if missing:
        raise DataError(
            f"{file} is not UCI Online Retail: it has no column {', '.join(missing)}; "
            f"found {', '.join(rows.column_names)}.",
            f"Expected {', '.join(COLUMNS)}; or set data.format to contract.",
        )
    return rows.select(list(COLUMNS))


def _refused(
    rows: pa.Table, reason: pd.Series, keep: Mask, lines: pa.Array | None, file: Location
) -> Iterator[Refused]:
    if keep.all():
        return
    aside = pa.array(~keep)
    reasons = pa.array(reason[~keep], pa.string())
    numbers = None if lines is None else lines.filter(aside)
    yield Refused(rejected_rows("interactions", rows.filter(aside), reasons, str(file), numbers))


def _lines(raw: pa.Table, zone: str, numbers: dict[str, int]) -> pd.DataFrame:
    """The contract's values for each invoice line, with the reason why it is no purchase (None: it is one).

    `numbers` has how many lines of each invoice came before, and is brought up to date.
    """
    invoice, code = _text(raw, "InvoiceNo").fillna(""), _text(raw, "StockCode").fillna("")
    times, bad, _, _ = values.instants(values.flat(raw.column("InvoiceDate")), zone)
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
            "line": _numbered(invoice, numbers),
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


def _numbered(invoice: pd.Series, numbers: dict[str, int]) -> pd.Series:
    """The number of each line within its invoice, from 1; an invoice may go on in the next batch."""
    result = invoice.groupby(invoice, sort=False).cumcount() + 1 + invoice.map(numbers).fillna(0).astype(int)
    numbers.update(result.groupby(invoice, sort=False).max().to_dict())
    return result


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


class Catalogue:
    """What was bought: the most frequent description (the first by letters among equals) and the median price."""

    def __init__(self) -> None:
        self._titles: list[pd.DataFrame] = []
        self._prices: list[pd.DataFrame] = []
        self._lines = 0
        self._baskets, self._customers = set[str](), set[str]()

    def add(self, bought: pd.DataFrame) -> None:
        """More purchases; what is kept of them are counts."""
        self._titles.append(_counts(bought.fillna({"title": ""}), "title"))
        self._prices.append(_counts(bought, "price"))
        self._lines += len(bought)
        self._baskets.update(bought["invoice"])
        self._customers.update(bought["customer"])

    def items(self) -> pa.Table:
        """The contract's columns of each item."""
        seen = _added(self._titles, "title")
        codes = np.sort(seen["code"].unique())
        seen = seen[seen["title"] != ""].sort_values(["code", "n", "title"], ascending=[True, False, True])
        title = seen.drop_duplicates("code").set_index("code")["title"].reindex(codes).fillna("")
        prices = _added(self._prices, "price")
        prices = prices[prices["price"] > 0]
        price = prices.loc[prices.index.repeat(prices["n"])].groupby("code")["price"].median().reindex(codes)
        maps = [[] if np.isnan(value) else [("median_price_gbp", f"{value:.2f}")] for value in price]
        return pa.table(
            {
                c.ITEM_ID: pa.array(codes, pa.string()),
                c.TITLE: pa.array(title, pa.string()),
                c.ATTRIBUTES: pa.array(maps, pa.map_(pa.string(), pa.string())),
            }
        )

    def notes(self, zone: str) -> list[str]:
        """What a person should know."""
        items = len(_added(self._titles, "title")["code"].unique())
        return [
            f"The dates carry no zone: they are read as {zone} and kept as UTC.",
            f"{self._lines:,} invoice lines are purchases: {len(self._baskets):,} baskets of "
            f"{len(self._customers):,} customers, {items:,} items. Item text is the description used most often for a "
            "stock code.",
            "UCI Online Retail: D. Chen (2015), doi.org/10.24432/C5BW33, CC BY 4.0.",
        ]


def _counts(bought: pd.DataFrame, name: str) -> pd.DataFrame:
    return bought.groupby(["code", name], sort=True).size().reset_index(name="n")


def _added(counts: list[pd.DataFrame], name: str) -> pd.DataFrame:
    if not counts:
        return pd.DataFrame({"code": pd.Series(dtype=object), name: pd.Series(dtype=object), "n": pd.Series(dtype=int)})
    return pd.concat(counts).groupby(["code", name], sort=True)["n"].sum().reset_index()


FORMAT: Final = Format("online-retail", "UCI Online Retail, a shop's invoice lines (Parquet or CSV)", recognises, read)
