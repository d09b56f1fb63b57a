"""Shapes of real sets beside those of the generated world: `python -m benchmarks.shapes DATA`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import duckdb

from liverank.data.presets import preset
from liverank.data.shapes import Shapes, shapes, shapes_of_dataset, table
from liverank.data.synthetic import generate
from liverank.data.synthetic_settings import SyntheticSettings

REAL = {
    "UCI Online Retail": (
        """SELECT CAST(CustomerID AS INT) AS u, StockCode AS i, InvoiceNo AS b, CAST(InvoiceDate AS TIMESTAMP) AS t
           FROM '{data}/uci-online-retail/online_retail.parquet'
           WHERE CustomerID IS NOT NULL AND Quantity > 0 AND NOT starts_with(InvoiceNo, 'C')""",
        """SELECT any_value(Description) AS title
           FROM '{data}/uci-online-retail/online_retail.parquet' GROUP BY StockCode""",
    ),
    "Amazon Games": (
        """SELECT uid AS u, iid AS i, pos AS b, NULL::TIMESTAMP AS t
           FROM '{data}/amazon-llamarec/games_interactions.parquet'""",
        "SELECT title FROM '{data}/amazon-llamarec/games_items.parquet'",
    ),
    "MovieLens-1M": (
        """SELECT user_id AS u, movie_id AS i, pos AS b, NULL::TIMESTAMP AS t
           FROM '{data}/ml-1m/ml-1m_sequences.parquet'""",
        "",
    ),
    "MIND sample, histories": (
        """SELECT u, i, b, NULL::TIMESTAMP AS t FROM (
               SELECT column1 AS u, unnest(string_split(any_value(column3), ' ')) AS i,
                   generate_subscripts(string_split(any_value(column3), ' '), 1) AS b
               FROM read_csv('{data}/mind-sample/behaviors.tsv.gz',
                   delim='\t', header=false, all_varchar=true, quote='')
               WHERE column3 <> '' GROUP BY column1)""",
        """SELECT column3 AS title FROM
           read_csv('{data}/mind-sample/news.tsv.gz', delim='\t', header=false, all_varchar=true, quote='')""",
    ),
}
MADE = {
    "default": ("", ("click",)),
    "--like shop": ("shop", ("purchase",)),
    "--like reviews": ("reviews", ("purchase",)),
    "--like feed": ("feed", ("click",)),
}


def real(data: Path) -> dict[str, Shapes]:
    """The shapes of the real sets in a folder."""
    found = {}
    for name, (events, titles) in REAL.items():
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE TABLE log AS " + events.replace("{data}", str(data)))
            if titles:
                connection.execute("CREATE TABLE names AS " + titles.replace("{data}", str(data)))
            found[name] = shapes(connection, "log", "names" if titles else "")
    return found


def made() -> dict[str, Shapes]:
    """The shapes of the generated world under its presets."""
    found = {}
    for name, (like, types) in MADE.items():
        with tempfile.TemporaryDirectory() as folder:
            generate(SyntheticSettings(**preset(like)), Path(folder))
            found[name] = shapes_of_dataset(Path(folder), types)
    return found


if __name__ == "__main__":
    print(table({**real(Path(sys.argv[1])), **made()}))
