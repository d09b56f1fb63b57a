"""Options that every measurement of quality on real data has."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds where the data is, what to set in the configuration, and where to write."""
    place = Path(os.environ.get("LIVERANK_DATA") or "../shared/data")
    parser.add_argument("--data", type=Path, default=place, help="folder of real data sets")
    parser.add_argument("--set", "-s", action="append", default=[], help="set one key of the configuration")
    parser.add_argument("--work", type=Path, default=None, help="folder for what is written meanwhile")
    parser.add_argument("--out", type=Path, default=None, help="the page")
