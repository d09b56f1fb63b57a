"""`liverank rank`: asks the model server for one ranking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverank.cli.connection import ServerUrl, call
from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from collections.abc import Mapping


def rank(
    user: Annotated[str | None, typer.Argument(help="User id; an unknown one is fine.")] = None,
    candidates: Annotated[list[str] | None, typer.Argument(help="Item ids to rank.")] = None,
    candidates_file: Annotated[
        Path | None, typer.Option(help="File with one item id a line, or (.json) the request's list of candidates.")
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Rank for a visitor whom nobody knows: all arguments are item ids.")
    ] = False,
    session: Annotated[str, typer.Option(help="The visit's id: a visitor's history is their session's.")] = "",
    k: Annotated[int | None, typer.Option(help="Lines to return (default: all).")] = None,
    surface: Annotated[str, typer.Option(help="Where the list is shown.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Ask for reasons.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's answer as it is.")] = False,
    url: ServerUrl = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Rank candidates for a user with the model server."""
    import json

    from liverank.config import load_config

    if user is None and not anonymous:
        raise typer.BadParameter("name the user, or rank for nobody in particular with --anonymous")
    named = {} if anonymous else {"user_id": user}
    given = [*([user] if anonymous and user else []), *(candidates or [])]
    request = {
        **named,
        "candidates": [*given, *(_read(candidates_file) if candidates_file else [])],
        "surface": surface,
        "explain": explain,
        **({"k": k} if k is not None else {}),
        **({"session_id": session} if session else {}),
    }
    body = json.dumps(request).encode()
    answer = call(load_config(file or None, overrides(settings)), url, "POST", "/v1/rank", body)
    if as_json:
        typer.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        _show("a visitor" if anonymous else f"{user}", answer)


def _read(path: Path) -> list[Any]:
    import json

    from liverank.errors import DataError

    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError) as problem:
        raise DataError(f"The candidates file {path} cannot be read: {problem}.") from problem
    if not isinstance(found, list):
        raise DataError(f"{path} must hold a JSON list of candidates.")
    return [candidate for candidate in found if candidate]


def _show(user: str, answer: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    with_reasons = any("reasons" in line for line in answer["ranking"])
    table = Table("#", "item", "score", *(["reasons"] if with_reasons else []), title=f"Ranking for {user}")
    for line in answer["ranking"]:
        reasons = [_words(line)] if with_reasons else []
        table.add_row(str(line["position"]), line["item_id"], f"{line['score']:.4f}", *reasons)
    console = Console()
    console.print(table)
    typer.echo(
        f"version {answer['model_version']}, impression {answer['impression_id']},"
        f" {answer['timing_ms']['total']:.1f} ms in the server"
    )
    if "user_id" in answer:
        typer.echo(f"the visitor's events go by --user {answer['user_id']}")
    if answer["degraded"]:
        typer.echo(f"degraded: {'; '.join(answer['degraded'])}")


def _words(line: Mapping[str, Any]) -> str:
    """The signals of a line, and below them the user's events."""
    signals = ", ".join(f"{of['signal']} {of['contribution']:+.3f}" for of in line.get("reasons") or [])
    events = ", ".join(f"{of['type']} of {of['item_id']} {of['effect']:+.3f}" for of in line.get("events") or [])
    return "\n".join(filter(None, (signals, events)))
