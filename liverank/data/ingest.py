"""The first step: a source, the live store's log, or both, as one dataset folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.collect import collect
from liverank.data.dataset import Dataset, empty_tables, write_dataset
from liverank.data.live import join_live, read_live
from liverank.data.locations import locate, without_secrets
from liverank.data.sources.contract import carried
from liverank.data.sources.registry import GENERAL, format_of
from liverank.errors import DataError
from liverank.progress import note, stage


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest step wrote."""

    rows: dict[str, int]
    """Table name -> rows; `rejected` counts the rows that the contract cannot express."""
    format: str
    synthetic: bool
    hash: str
    notes: tuple[str, ...]


def ingest(config: DataConfig, out: Path, workspace: Path | None = None) -> IngestSummary:
    """Reads the configured source and live store and writes the dataset folder `out`.

    The same rows give the same hash; reading the same records twice, from the source and from the log, adds nothing.

    Raises:
        DataError: no source is configured, it cannot be read, or it holds no interaction.
    """
    if not config.source and not config.live_store:
        raise DataError("Neither data.source nor data.live_store is set.", "Set data.source to your data.")
    with stage("ingest"):
        dataset = read_source_data(config) if config.source else Dataset(empty_tables())
        if config.live_store:
            _join(dataset, Path(config.live_store))
        if not dataset.tables["interactions"].num_rows:
            raise _nothing_happened(config, dataset)
        digest = write_dataset(dataset, out)
    _report(dataset)
    return IngestSummary(dataset.rows(), dataset.format, dataset.synthetic, digest, tuple(dataset.notes))


def read_source_data(config: SourceConfig) -> Dataset:
    """The configured source in memory, in its format.

    Raises:
        DataError: it is missing, unreadable or follows no known format.
    """
    found = format_of(config)
    dataset = collect(found.read(config), source_name(config), config.timezone)
    dataset.format = found.name
    known = carried(config) if found.name == GENERAL else {}
    dataset.synthetic, dataset.generator = bool(known.get("synthetic")), dict(known.get("generator", {}))
    dataset.source = str(known.get("source") or dataset.source)
    return dataset


def source_name(config: SourceConfig) -> str:
    """What reports call the source: its name, else the last part of its path."""
    return config.name or without_secrets(config.source).split("?")[0].rstrip("/").rsplit("/", 1)[-1]


def _join(dataset: Dataset, store: Path) -> None:
    gained = join_live(dataset, read_live(store))
    dataset.source = f"{dataset.source} + live store" if dataset.source else "live store"
    dataset.notes.append(
        f"The live store added {gained['interactions']:,} interactions and {gained['impressions']:,} impressions."
    )


def _nothing_happened(config: DataConfig, dataset: Dataset) -> DataError:
    reasons = Counter(dataset.rejected.column("reason").to_pylist()).most_common(1)
    why = f" {dataset.rejected.num_rows:,} rows do not fit, most because: {reasons[0][0]}." if reasons else ""
    return DataError(
        f"{config.source or config.live_store} holds no interaction.{why}",
        "Training needs events: user_id, item_id, timestamp[, type].",
    )


def _report(dataset: Dataset) -> None:
    rows = dataset.rows()
    note(
        f"{rows['interactions']:,} interactions, {rows['impressions']:,} impressions, {rows['items']:,} items; "
        f"{rows['rejected']:,} rows do not fit the contract",
        rows=rows,
    )
    for text in dataset.notes:
        note(text)


def fingerprint(config: DataConfig) -> str:
    """A hash of the source's bytes and the live store's position: equal when a new ingest would read the same.

    Raises:
        DataError: the source is missing.
    """
    digest = hashlib.sha256(f"{config.format}|{config.timezone}".encode())
    for file in locate(config.source) if config.source else []:
        digest.update(file.name.encode())
        with file.open() as content:
            while block := content.read(1 << 20):
                digest.update(block)
    if config.live_store:
        from liverank.store import open_store

        store = open_store(Path(config.live_store))
        try:
            digest.update(str(store.cursor()).encode())
        finally:
            store.close()
    return digest.hexdigest()
