"""`liverank send`: gives records to the model server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverank.cli.connection import ServerUrl, call
from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS_A_CALL = 1000


def send(
    source: Annotated[
        str, typer.Argument(metavar="[FILE|-]", help="JSON or JSON lines of records; - for standard input.")
    ] = "",
    user: Annotated[str, typer.Option(help="Send one event of this user instead.")] = "",
    item: Annotated[str, typer.Option(help="Its item.")] = "",
    kind: Annotated[str, typer.Option("--type", help="Its type.")] = "click",
    value: Annotated[float, typer.Option(help="Its value.")] = 1.0,
    impression: Annotated[str, typer.Option(help="The impression that it answers.")] = "",
    url: ServerUrl = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Send events, items, users or impressions to the model server; sending a record twice does no harm."""
    from liverank.config import load_config
    from liverank.errors import DataError

    if bool(source) == bool(user or item):
        raise DataError("Say what to send: either a file (or -), or --user and --item.")
    if not source and not (user and item):
        raise DataError("One event needs both --user and --item.")
    records = _read(source) if source else [_event(user, item, kind, value, impression)]
    config = load_config(file or None, overrides(settings))
    accepted = new = 0
    for number, batch in enumerate(_batches(records)):
        answer = _send(config, url, number, batch)
        accepted, new = accepted + answer["accepted"], new + answer["new"]
    typer.echo(f"{accepted:,} records accepted, {new:,} of them new.")


def _read(source: str) -> list[bytes]:
    """Each record as JSON, whatever the file's shape."""
    import sys

    import msgspec

    from liverank.errors import DataError

    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as problem:
        raise DataError(f"{source} cannot be read: {problem.strerror}.") from problem
    try:
        whole = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Several documents: JSON lines. The server says which line is wrong.
        return [line for line in content.splitlines() if line.strip()]
    if isinstance(whole, dict):
        whole = whole.get("events", [whole])
    return [msgspec.json.encode(record) for record in whole]


def _event(user: str, item: str, kind: str, value: float, impression: str) -> bytes:
    import uuid
    from datetime import UTC, datetime

    from liverank.events import Interaction, encode_record

    return encode_record(
        Interaction(
            event_id=uuid.uuid4().hex,
            user_id=user,
            item_id=item,
            type=kind,
            value=value,
            timestamp=datetime.now(UTC),
            impression_id=impression or None,
        )
    )


def _batches(records: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(records), RECORDS_A_CALL):
        yield records[start : start + RECORDS_A_CALL]


def _send(config: Any, url: str, number: int, batch: list[bytes]) -> Any:
    from liverank.errors import ServingError

    try:
        return call(config, url, "POST", "/v1/events", b"[" + b",".join(batch) + b"]")
    except ServingError as problem:
        if not number:
            raise
        sent = number * RECORDS_A_CALL
        raise ServingError(
            f"{problem.message} (records count from {sent:,} here; those before are sent.)", problem.hint
        ) from problem
