"""`liverank data inspect`: what a source is, what becomes what, what does not fit; and into liverank.yaml with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.source_options import EncodingOption, FormatOption, TimezoneOption, told_source

if TYPE_CHECKING:
    from rich.console import Console

    from liverank.config.data import DataConfig
    from liverank.data.inspect import Inspection


def inspect(
    path: Annotated[str, typer.Argument(help="File, folder, glob or URL.")],
    source_format: FormatOption = "",
    timezone: TimezoneOption = "",
    encoding: EncodingOption = "",
    samples: Annotated[int, typer.Option(min=0, help="Rows to show of each table.")] = 3,
    full: Annotated[bool, typer.Option("--full", help="Look at all of it, however large.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write what was found into the configuration file.")] = False,
    file: Annotated[
        Path, typer.Option("--config", "-c", help="That file; what it says of the source counts too.")
    ] = Path("liverank.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Guess format and columns anew, and replace what the file says otherwise.")
    ] = False,
) -> None:
    """Say what a source holds: its format, what becomes what, rows, time span, event types, what does not fit."""
    from rich.console import Console
    from rich.markup import escape

    from liverank.config import load_config
    from liverank.data.inspect import LIMIT, inspect_source

    known = load_config(file).data if file.exists() else _defaults()
    console = Console()
    told = known.model_copy(update={"mapping": {}, "format": "auto"}) if force else known
    options = {"format": source_format, "timezone": timezone, "encoding": encoding}
    seen = inspect_source(told_source(path, told, options), 0 if full else LIMIT, samples)
    _tell(console, seen, known, samples)
    if write:
        _write(console, seen, known, file, force)
    elif seen.problem:
        console.print(f"\nA run would fail: {escape(seen.problem)}", style="yellow", highlight=False, soft_wrap=True)
    else:
        console.print(f"\n--write puts this into {file}.", highlight=False)


def _defaults() -> DataConfig:
    """The data section of a file that is not there yet."""
    from liverank.config.data import DataConfig

    return DataConfig()


def _tell(console: Console, seen: Inspection, known: DataConfig, samples: int) -> None:
    from rich.markup import escape

    size = f"{seen.files:,} files, {_bytes(seen.bytes)}" if seen.files != 1 else _bytes(seen.bytes)
    made = ", synthetic" if seen.synthetic else ""
    console.print(
        escape(f"{seen.config.source}: {size}; format {seen.config.format}{made} ({seen.about})"), highlight=False
    )
    if not seen.whole:
        events = sum(table.rows for table in seen.tables.values())
        console.print(
            f"A sample: the first {events:,} rows. --full looks at all of it.", style="yellow", highlight=False
        )
    _tell_columns(console, seen)
    _tell_tables(console, seen, samples)
    _tell_types(console, seen, known)
    _tell_refused(console, seen)
    for text in seen.notes:
        console.print(f"- {escape(text)}", highlight=False)


def _bytes(count: int) -> str:
    return (
        f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"
    )


def _tell_columns(console: Console, seen: Inspection) -> None:
    from rich.markup import escape
    from rich.table import Table

    for file, guess in seen.guesses:
        title = f"{file} becomes {guess.table}"
        table = Table("Field", "Column", "Told by", "Values", title=escape(title), title_justify="left")
        for entry in guess.guesses:
            values = ", ".join(text[:32] for text in entry.samples)
            table.add_row(*(escape(cell) for cell in (entry.field, entry.column, entry.why, values)))
        for column in guess.left:
            table.add_row("-", escape(column), "not taken", "", style="dim")
        console.print(table)


def _tell_tables(console: Console, seen: Inspection, samples: int) -> None:
    from rich.markup import escape

    from liverank.events import ARROW_SCHEMAS

    for name in ARROW_SCHEMAS:
        told = seen.tables.get(name)
        if told is None:
            console.print(f"{name}: 0 rows", highlight=False)
            continue
        span = f", {told.first:%Y-%m-%d %H:%M} to {told.last:%Y-%m-%d %H:%M} UTC" if told.first and told.last else ""
        console.print(f"{name}: {told.rows:,} {'row' if told.rows == 1 else 'rows'}{span}", highlight=False)
        for row in told.samples[:samples]:
            text = json.dumps({key: value for key, value in row.items() if value}, ensure_ascii=False, default=str)
            console.print(f"  {escape(_cut(text))}", highlight=False, soft_wrap=True)


def _cut(text: str, longest: int = 400) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ..."


def _tell_types(console: Console, seen: Inspection, known: DataConfig) -> None:
    from rich.markup import escape

    from liverank.data.event_types import proposed_weight

    for name, count in seen.types.most_common():
        weight = known.event_weights.get(name)
        unknown = f"unknown: give it a weight in data.event_weights; proposed {proposed_weight(name):g}"
        told = f"weight {weight:g}" if weight is not None else unknown
        console.print(escape(f"type {name}: {count:,} ({told})"), highlight=False)


def _tell_refused(console: Console, seen: Inspection) -> None:
    from rich.markup import escape

    if seen.refused:
        count = seen.refused.total()
        verb = "row does" if count == 1 else "rows do"
        console.print(f"{count:,} {verb} not fit the contract:", style="yellow", highlight=False)
    for reason, count in seen.refused.most_common(12):
        first = seen.examples[reason]
        line = f", line {first['line']:,}" if first["line"] else ""
        where = f"; first in {first['file']}{line}" if first["file"] else ""
        console.print(escape(f"  {count:,}: {reason}{where}: {_cut(first['row'], 120)}"), highlight=False)


def _write(console: Console, seen: Inspection, known: DataConfig, file: Path, force: bool) -> None:
    from rich.markup import escape

    from liverank.data.write_config import Proposal, write_source
    from liverank.errors import DataError

    if seen.problem:
        raise DataError(f"Nothing was written, as a run would fail: {seen.problem}")
    diff = write_source(file, Proposal.of(seen.config, list(seen.types), known), force)
    if not diff:
        console.print(f"\n{file} says all of this already.", highlight=False)
        return
    console.print(f"\n{escape(diff)}", highlight=False, soft_wrap=True)
    told = seen.tables.get("interactions")
    following = "Next: liverank run" if told and told.rows else "A run needs events too."
    console.print(f"Written to {file}. {following}", highlight=False)
