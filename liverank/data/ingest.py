"""The first step: the sources and the live store's log, of any size, as one dataset folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liverank.config.data import DataConfig, SourceConfig
from liverank.data.accept import Accepted, accept
from liverank.data.collect import collect, no_items_note
from liverank.data.dataset import SOURCE_FILE, Dataset, write_facts
from liverank.data.dataset_files import growing
from liverank.data.live import ORIGIN, live_parts
from liverank.data.locations import locate, without_secrets
from liverank.data.replayed_rows import without_erased
from liverank.data.sources.contract import carried
from liverank.data.sources.parts import Note, Parts
from liverank.data.sources.registry import GENERAL, format_of
from liverank.data.spool import Spool
from liverank.errors import DataError
from liverank.events import ARROW_SCHEMAS
from liverank.progress import Stage, note, stage


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest step wrote."""

    rows: dict[str, int]
    """Table name -> rows; `rejected` counts the rows that the contract cannot express."""
    format: str
    synthetic: bool
    hash: str
    notes: tuple[str, ...]


@dataclass
class _Told:
    """What is known of the sources when they have been read."""

    names: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    synthetic: bool = False
    generator: dict[str, Any] = field(default_factory=dict)


def ingest(config: DataConfig, out: Path, workspace: Path | None = None) -> IngestSummary:
    """Reads the sources and the live store and writes the dataset folder `out`, whole or not at all.

    Memory is bounded whatever the size of the sources; the disk of `out` holds their rows up to three times for a
    while. The same rows give the same hash. An event or impression that several sources have is taken from the first,
    an item or user from the last; the live store comes after all others.

    Args:
        config: the sources.
        out: the folder to write.
        workspace: where streams land, so that they are read once; None: what a stream still has is read anew.

    Raises:
        DataError: no source is configured, one cannot be read, all together hold no interaction, or `out` cannot be
            written.
    """
    import duckdb

    if not config.every_source() and not config.live_store:
        raise DataError("Neither data.source nor data.live_store is set.", "Set data.source to your data.")
    try:
        with growing(out, SOURCE_FILE) as partial, stage("ingest") as progress:
            aside = partial / "spool"
            aside.mkdir()
            with Spool(aside) as spool:
                told, rows = _ingest(config, partial, spool, workspace, progress)
            shutil.rmtree(aside)
            facts = _facts(told, rows)
            digest = write_facts(partial, facts)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as problem:
        raise _unwritable(out, problem) from problem
    _report(rows, told.notes)
    return IngestSummary(rows, facts["format"], told.synthetic, digest, tuple(told.notes))


def _ingest(
    config: DataConfig, out: Path, spool: Spool, workspace: Path | None, progress: Stage
) -> tuple[_Told, dict[str, int]]:
    """Reads everything and writes the tables into `out`; returns what is known of them, and their rows."""
    config = without_erased(config)
    told, sources = _Told(), config.every_source()
    for rank, (name, source) in enumerate(zip(source_names(sources), sources, strict=True)):
        notes = _take_source(source, name, rank, spool, told, workspace, progress)
        told.notes += [f"{name}: {text}" for text in notes] if len(sources) > 1 else notes
    _name_missing_items(spool, told)
    if config.live_store:
        told.names.append(ORIGIN)
        told.notes += _take(live_parts(config, workspace), ORIGIN, "", len(sources), spool, progress)
    spool.close()
    if not spool.counts("interactions"):
        raise _nothing_happened(config, spool)
    rows = spool.settle(out)
    told.notes += _joined(spool, told.names, config)
    return told, rows


def _take_source(
    source: SourceConfig, name: str, rank: int, spool: Spool, told: _Told, workspace: Path | None, progress: Stage
) -> list[str]:
    """Puts a source into the spool and what it is into `told`; returns its notes."""
    found = format_of(source)
    landed = found.read_landed if workspace else None
    parts = landed(source, workspace) if landed and workspace else found.read(source)
    notes = _take(parts, name, source.timezone, rank, spool, progress)
    known = carried(source) if found.name == GENERAL else {}
    told.names.append(str(known.get("source") or name))
    told.formats.append(found.name)
    told.synthetic |= bool(known.get("synthetic"))
    told.generator = told.generator or dict(known.get("generator", {}))
    return notes


def _take(parts: Parts, name: str, timezone: str, rank: int, spool: Spool, progress: Stage) -> list[str]:
    """Puts a source's parts into the spool; returns its notes."""
    notes = []
    for part in accept(parts, name, timezone):
        if isinstance(part, Accepted):
            spool.add(rank, part.table, part.rows)
            progress.advance(part.rows.num_rows, source=name)
        elif isinstance(part, Note):
            notes.append(part.text)
        else:
            spool.refuse(part.rows)
    return notes


def _name_missing_items(spool: Spool, told: _Told) -> None:
    """Sources without any catalogue get one of bare ids, so that a plain file of clicks is enough to start."""
    if spool.runs["items"] or spool.rejected_tables["items"]:
        return
    spool.close()
    if count := spool.add_bare_items():
        told.notes.append(no_items_note(count))


def _joined(spool: Spool, names: list[str], config: DataConfig) -> Iterator[str]:
    """What each source after the first added, and what of it was known already."""
    sources = len(config.every_source())
    for rank, name in enumerate(names[:sources]):
        again = {table: spool.repeats[table, rank] for table in ARROW_SCHEMAS if spool.repeats[table, rank]}
        if again:
            told = ", ".join(f"{count:,} {table}" for table, count in again.items())
            yield f"{name}: {told} are in another source too, and were taken from there."
    if config.live_store:
        gained = {
            table: spool.counts(table).get(sources, 0) - spool.repeats[table, sources]
            for table in ("interactions", "impressions")
        }
        yield (
            f"The live store added {gained['interactions']:,} interactions and {gained['impressions']:,} impressions."
        )


def _facts(told: _Told, rows: dict[str, int]) -> dict[str, Any]:
    return {
        "source": " + ".join(told.names),
        "format": " + ".join(dict.fromkeys(told.formats)) or GENERAL,
        "synthetic": told.synthetic,
        "rows": rows,
        "notes": told.notes,
        **({"generator": told.generator} if told.generator else {}),
    }


def _nothing_happened(config: DataConfig, spool: Spool) -> DataError:
    refused = sum(spool.reasons.values())
    why = f" {refused:,} rows do not fit, most because: {spool.reasons.most_common(1)[0][0]}." if refused else ""
    names = [without_secrets(source.source) for source in config.every_source()] or [config.live_store]
    holds = "holds" if len(names) == 1 else "hold"
    return DataError(
        f"{', '.join(names)} {holds} no interaction.{why}",
        "Training needs events: user_id, item_id, timestamp[, type].",
    )


def _unwritable(out: Path, problem: Exception) -> DataError:
    reason = " ".join(str(problem).split()).rstrip(".")
    free = next((shutil.disk_usage(folder).free for folder in (out, *out.parents) if folder.exists()), 0)
    return DataError(
        f"{out} cannot be written: {reason}.",
        f"Its disk has {free / 2**30:,.1f} GiB free; ingest needs room for about three times the rows. Nothing of this "
        "run was left.",
    )


def _report(rows: dict[str, int], notes: list[str]) -> None:
    note(
        f"{rows['interactions']:,} interactions, {rows['impressions']:,} impressions, {rows['items']:,} items; "
        f"{rows['rejected']:,} rows do not fit the contract",
        rows=rows,
    )
    for text in notes:
        note(text)


def read_source_data(config: SourceConfig) -> Dataset:
    """The configured source in memory, in its format.

    Raises:
        DataError: it is missing, unreadable or follows no known format.
    """
    found = format_of(config)
    (name,) = source_names((config,))
    dataset = collect(found.read(config), name, config.timezone)
    dataset.format = found.name
    known = carried(config) if found.name == GENERAL else {}
    dataset.synthetic, dataset.generator = bool(known.get("synthetic")), dict(known.get("generator", {}))
    dataset.source = str(known.get("source") or dataset.source)
    return dataset


def source_names(sources: tuple[SourceConfig, ...]) -> list[str]:
    """What reports call the sources: their names, else the last part of their paths; no two are the same."""
    names: list[str] = []
    for source in sources:
        name = source.name or without_secrets(source.source).split("?")[0].rstrip("/").rsplit("/", 1)[-1]
        taken = sum(name == known or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({taken + 1})" if taken else name)
    return names


def fingerprint(config: DataConfig) -> str:
    """A hash of the source's bytes and the live store's position: equal when a new ingest would read the same.

    Raises:
        DataError: the source is missing.
    """
    digest = hashlib.sha256()
    for source in config.every_source():
        digest.update(source.model_dump_json().encode())
        for file in locate(source.source):
            digest.update(file.name.encode())
            with file.open() as content:
                while block := content.read(1 << 20):
                    digest.update(block)
    if config.live_store:
        from liverank.store import open_store

        store = open_store(config.live_store)
        try:
            digest.update(str(store.cursor()).encode())
        finally:
            store.close()
    return digest.hexdigest()
