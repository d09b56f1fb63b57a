"""`liverank data download`: a public data set, fetched, verified and unpacked, its licence accepted first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from liverank.data.archives import Archive


def download(
    name: Annotated[str, typer.Argument(help="Name of the data set; --list shows them.")] = "",
    to: Annotated[Path, typer.Option("--to", help="Folder of data sets.")] = Path("data"),
    listed: Annotated[bool, typer.Option("--list", help="Show the data sets that are known.")] = False,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Accept its licence unasked.")] = False,
    mirror: Annotated[str, typer.Option(help="Take the files from below this URL instead of their publisher's.")] = "",
) -> None:
    """Fetch a public data set where its licence allows: resumed, verified, unpacked."""
    from liverank.data.download import download as fetch_and_unpack
    from liverank.data.download import find_archive, from_mirror
    from liverank.errors import DataError

    if listed or not name:
        _show_all(to)
        if not listed:
            raise DataError("No data set is named.", "Run: liverank data download NAME")
        return
    archive = find_archive(name)
    _ask(archive, accept_licence)
    done = fetch_and_unpack(from_mirror(archive, mirror) if mirror else archive, to)
    typer.echo(f"{archive.about}: {'in' if done.new else 'already in'} {done.folder}")
    for file in archive.files:
        vouched = f"{file.checksum.split(':')[0]} verified ({file.checksum_from})" if file.checksum else _unverified()
        typer.echo(f"  {file.name}: sha256 {done.sha256.get(file.name, 'unknown')}; {vouched}")
    typer.echo(f"Next: liverank data inspect {done.folder} --write")


def _unverified() -> str:
    return "its publisher gives no checksum, so the sha256 is only recorded"


def _ask(archive: Archive, accepted: bool) -> None:
    """States the licence and asks, unless it is accepted already.

    Raises:
        DataError: nobody is there to ask, or the answer is no.
    """
    import sys

    from liverank.errors import DataError

    typer.echo(f"Licence of {archive.name}: {archive.licence}\nTerms: {archive.licence_url}")
    if accepted:
        return
    if not sys.stdin.isatty():
        raise DataError("The licence was not accepted.", "Read it, then run the same with --accept-licence.")
    if not typer.confirm("Do you accept it?"):
        raise DataError("The licence was not accepted, so nothing was fetched.")


def _show_all(to: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from liverank.data.archives import ARCHIVES

    table = Table("Name", "What", "Size", "Checksum", "Licence", title="Public data sets", title_justify="left")
    for archive in ARCHIVES.values():
        size = f"{archive.size / 1e6:,.1f} MB" if archive.size else "not stated"
        kinds = sorted({file.checksum.split(":")[0] for file in archive.files if file.checksum})
        checksum = ", ".join(kinds) or ("by hand" if archive.by_hand else "not published")
        table.add_row(archive.name, archive.about, size, checksum, f"{archive.licence}\n{archive.licence_url}")
    Console().print(table)
    typer.echo(f"`liverank data download NAME` puts one into {to}/NAME.")
