"""The files of a source and their raw rows, before anything is known of the contract."""

from __future__ import annotations

import csv
import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from liverank import columns as c
from liverank.data.dataset import REJECTED_FILE, REJECTED_SCHEMA, SOURCE_FILE
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS

SUFFIXES: Final = (".parquet", ".jsonl", ".ndjson", ".csv")
FORMATS = "Parquet (.parquet), JSON lines (.jsonl) and CSV (.csv)"
# Files that the steps themselves leave beside the tables.
OWN_FILES: Final = (SOURCE_FILE, REJECTED_FILE, "result.json")


@dataclass
class RawFile:
    """The rows of one file as read: strings from CSV and JSON lines, typed columns from Parquet."""

    path: Path
    rows: pa.Table
    rejected: pa.Table = field(default_factory=lambda: REJECTED_SCHEMA.empty_table())


def locate(source: str) -> tuple[list[Path], list[Path]]:
    """The data files that `source` (a file, a folder or a glob) means, sorted, and the files there that are none.

    Raises:
        DataError: nothing is there, or nothing that is a data file.
    """
    if not source:
        raise DataError("No data source is given.", "Set data.source to a file, a folder or a glob.")
    if "://" in source:
        raise DataError(f"{source} is a URL, and only files are read.", "Copy or mount it, and name the path.")
    path = Path(source).expanduser()
    if path.is_dir():
        found = _inside(path)
    elif path.exists():
        found = [path]
    else:
        found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
    data = [file for file in found if file.suffix.lower() in SUFFIXES and file.name not in OWN_FILES]
    others = [file for file in found if file not in data and file.name not in OWN_FILES]
    if not found:
        raise DataError(f"There is no data at {source}.", "data.source names a file, a folder with files, or a glob.")
    if not data:
        names = ", ".join(file.name for file in found[:5])
        raise DataError(f"{source} holds no data file, only {names}.", f"Readable are {FORMATS}.")
    return data, others


def _inside(folder: Path) -> list[Path]:
    files = [entry for entry in sorted(folder.iterdir()) if entry.is_file() and not entry.name.startswith(".")]
    for table in ARROW_SCHEMAS:
        part = folder / table
        if part.is_dir():
            files += sorted(entry for entry in part.rglob("*") if entry.is_file() and not entry.name.startswith("."))
    return files


def read_raw(path: Path) -> RawFile:
    """The rows of a data file.

    Raises:
        DataError: the file is missing, empty or damaged.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes).", f"Expected rows as {FORMATS}.")
        if path.suffix.lower() == ".parquet":
            return RawFile(path, pq.read_table(path))
        return _read_csv(path) if path.suffix.lower() == ".csv" else _read_lines(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as problem:
        kind = {".parquet": "Parquet", ".csv": "CSV in UTF-8"}.get(path.suffix.lower(), "JSON lines in UTF-8")
        raise DataError(
            f"{path} cannot be read as {kind}: {' '.join(str(problem).split())}.",
            "Check that the file is complete and has the format its name says.",
        ) from problem


def header(path: Path) -> list[str]:
    """The column names of a CSV or Parquet file; of JSON lines, none: each line has its own.

    Raises:
        DataError: the file cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        try:
            return list(pq.read_schema(path).names)
        except (OSError, pa.ArrowException):
            return list(read_raw(path).rows.column_names)
    return _csv_header(path) if path.suffix.lower() == ".csv" else []


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            names = [name.strip() for name in next(csv.reader(lines), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} cannot be read as CSV in UTF-8: {problem}.", "Save it as UTF-8.") from problem
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} more than once.", "Give each column its own name.")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(f"{path} does not separate its columns with commas: {names[0]!r}.", "Save it with commas.")
    return names


def _read_csv(path: Path) -> RawFile:
    names = _csv_header(path)
    broken: list[tuple[str, str]] = []

    def keep(row: Any) -> str:
        broken.append((row.text, f"has {row.actual_columns} fields where the header has {row.expected_columns}"))
        return "skip"

    rows = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=[""]
        ),
    )
    return RawFile(path, rows, _rejected(broken))


def _read_lines(path: Path) -> RawFile:
    columns: dict[str, list[str | None]] = {}
    broken: list[tuple[str, str]] = []
    count = 0
    with path.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                row = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                broken.append((line.decode("utf-8", "replace").strip(), f"is not a JSON object: {problem}"))
                continue
            for name, value in row.items():
                columns.setdefault(name, []).extend([None] * (count - len(columns[name])))
                columns[name].append(_text(bytes(value)))
            count += 1
    filled = {name: pa.array(cells + [None] * (count - len(cells)), pa.string()) for name, cells in columns.items()}
    return RawFile(path, pa.table(filled), _rejected(broken))


def _text(value: bytes) -> str | None:
    """A JSON string as its text, null as None, any other value as its JSON text."""
    if value == b"null":
        return None
    return msgspec.json.decode(value, type=str) if value[:1] == b'"' else value.decode("utf-8")


def _rejected(broken: list[tuple[str, str]]) -> pa.Table:
    texts, reasons = [list(part) for part in zip(*broken, strict=True)] if broken else ([], [])
    unknown = [None] * len(texts)
    columns = {"table": [""] * len(texts), "row": texts, "reason": reasons}
    return pa.table({**columns, c.ORIGIN: unknown, "file": unknown, "line": unknown}, schema=REJECTED_SCHEMA)
