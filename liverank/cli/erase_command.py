"""`liverank erase`: removes a user from the live store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from liverank.cli.connection import ServerUrl, call
from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.config import Config


def erase(
    user: Annotated[str, typer.Argument(help="User id.", show_default=False)] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="File for the certificate of the erasure (JSON).")] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Check this certificate's signature instead, with the key of the server.")
    ] = None,
    url: ServerUrl = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Erase everything the live store holds about a user, through the model server; or check a certificate of that."""
    from urllib.parse import quote

    from liverank.config import load_config
    from liverank.errors import ConfigError

    config = load_config(file or None, overrides(settings))
    if bool(user) == bool(verify):
        raise ConfigError("Name a user to erase or a certificate to check.", "`liverank erase USER`, or --verify FILE.")
    if verify:
        _verify(config, verify)
        return
    if not yes:
        typer.confirm(f"Erase every record of user {user}? This cannot be undone.", abort=True)
    path = f"/v1/users/{quote(user, safe='')}"
    if certificate:
        with _certificate(certificate) as out:
            answer = call(config, url, "DELETE", path)
            json.dump(answer, out, ensure_ascii=False, indent=2)
    else:
        answer = call(config, url, "DELETE", path)
    versions = answer["model_versions"]
    typer.echo(f"{answer['erased']:,} records of user {user} are erased.")
    typer.echo(f"Versions that answered the user: {', '.join(versions['answered']) or 'none'}.")
    typer.echo(f"Versions that may have learned from the user: {', '.join(versions['may_have_learned']) or 'none'}.")
    typer.echo(f"Not known here: {versions['unknown']}")
    for task in answer["to_do"]:
        typer.echo(f"To do: {task}")


@contextmanager
def _certificate(path: Path) -> Iterator[TextIO]:
    """A new file, there before the erasure, which cannot be undone; it goes again where nothing was erased."""
    from liverank.errors import OutputError

    try:
        out = path.open("x", encoding="utf-8")
    except OSError as problem:
        raise OutputError(f"The certificate cannot be written to {path}: {problem.strerror}.") from problem
    try:
        with out:
            yield out
    except BaseException:
        path.unlink()
        raise


def _verify(config: Config, path: Path) -> None:
    from liverank.certificates import is_genuine, read
    from liverank.errors import ConfigError, DataError
    from liverank.pseudonyms import pseudonyms

    key = pseudonyms(config.serving.pseudonym_variable).signing_key()
    if not key:
        raise ConfigError("There is no key to check with.", "Set serving.pseudonym_variable as the server has it.")
    try:
        found = read(path.read_bytes())
    except OSError as problem:
        raise DataError(f"The certificate {path} cannot be read: {problem.strerror}.") from problem
    if not is_genuine(found, key):
        raise DataError(f"The certificate {path} is not signed with this key, or was changed.")
    typer.echo(f"Genuine: {found.erased:,} records of user {found.user_id} were erased at {found.erased_at}.")
