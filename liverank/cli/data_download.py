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

    from liverank.data.archives import AMAZON_PREFIX, ARCHIVES

    console = Console()
    table = Table("Name", "What", "Size", "Checksum", title="Public data sets", title_justify="left")
    table.columns[0].no_wrap = True
    table.columns[1].overflow = "fold"
    single = [archive for archive in ARCHIVES.values() if not archive.name.startswith(AMAZON_PREFIX)]
    for archive in single:
        size = f"{archive.size / 1e6:,.1f} MB" if archive.size else "not stated"
        kinds = sorted({file.checksum.split(":")[0] for file in archive.files if file.checksum})
        checksum = ", ".join(kinds) or ("fetched by hand" if archive.by_hand else "not published")
        table.add_row(archive.name, f"{archive.about}\n{archive.licence_url}", size, checksum)
    categories = [name.removeprefix(AMAZON_PREFIX) for name in ARCHIVES if name.startswith(AMAZON_PREFIX)]
    table.add_row(
        f"{AMAZON_PREFIX}CATEGORY", "Amazon reviews of 2023 and their products", "not stated", "not published"
    )
    console.print(table)
    console.print(f"{AMAZON_PREFIX}CATEGORY is one of: {', '.join(categories)}", highlight=False)
    for licence in dict.fromkeys(archive.licence for archive in ARCHIVES.values()):
        names = [archive.name for archive in single if archive.licence == licence] or [f"{AMAZON_PREFIX}*"]
        console.print(f"Licence of {', '.join(names)}: {licence}", highlight=False)
    console.print(f"`liverank data download NAME` states the terms and puts the set into {to}/NAME.", highlight=False)
