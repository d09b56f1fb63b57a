"""Puts a public data set into a folder, ready for `data.source`: fetched, verified, unpacked, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from liverank.data.archives import ARCHIVES, Archive, RemoteFile
from liverank.data.fetch import fetch
from liverank.data.spreadsheet import to_csv
from liverank.data.unpack import unpack
from liverank.errors import DataError
from liverank.output import output_folder

FACTS_FILE: Final = "_download.json"
"""What a folder says of where it came from; the underscore keeps it from being read as data."""
ARCHIVE_FOLDER: Final = "archives"


@dataclass(frozen=True)
class Downloaded:
    """A data set that is there."""

    folder: Path
    new: bool
    """Whether this call put it there."""
    sha256: dict[str, str]
    """File -> its sha256, as fetched."""


def find_archive(name: str) -> Archive:
    """The data set of that name.

    Raises:
        DataError: none is known; the message names the nearest.
    """
    import difflib

    if name in ARCHIVES:
        return ARCHIVES[name]
    near = difflib.get_close_matches(name, ARCHIVES, n=3, cutoff=0.4)
    guess = f"Did you mean {', '.join(near)}? " if near else ""
    raise DataError(f"There is no data set {name!r}.", f"{guess}`liverank data download --list` shows them all.")


def from_mirror(archive: Archive, mirror: str) -> Archive:
    """The same data set with its files taken from below the mirror's URL; checksums stay."""
    files = tuple(replace(file, url=f"{mirror.rstrip('/')}/{file.name}") for file in archive.files)
    return replace(archive, files=files, by_hand=False)


def download(archive: Archive, out: Path, pause: Callable[[float], None] | None = None) -> Downloaded:
    """Fetches, verifies and unpacks a data set into `out/<name>`; the archives stay in `out/archives`.

    Args:
        archive: the data set.
        out: the folder of data sets.
        pause: waits between two attempts; None: really.

    Raises:
        DataError: see `liverank.data.fetch` and `liverank.data.unpack`; or only a person can fetch it and has not yet.
        OutputError: nothing can be written into `out`.
    """
    folder = out / archive.name
    if (folder / FACTS_FILE).is_file():
        return Downloaded(folder, False, json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))["sha256"])
    if folder.exists():
        raise DataError(f"{folder} exists and was not made by a download.", "Move it away, or name another --to.")
    missing = list(_missing_by_hand(archive, out))
    if missing:
        raise DataError(
            f"{archive.name} can only be fetched by a person who accepts its terms at {archive.licence_url}.",
            f"Fetch {' and '.join(file.name for file in missing)} there, put them into {out / ARCHIVE_FOLDER}/ and run "
            "the same command again: it verifies and unpacks them.",
        )
    output_folder(out)
    options = {"pause": pause} if pause else {}
    digests = {file.name: fetch(file, out / ARCHIVE_FOLDER / file.name, **options) for file in archive.files}
    _fill(archive, out, folder, digests)
    return Downloaded(folder, True, digests)


def _missing_by_hand(archive: Archive, out: Path) -> Iterator[RemoteFile]:
    if archive.by_hand:
        yield from (file for file in archive.files if not (out / ARCHIVE_FOLDER / file.name).exists())


def _fill(archive: Archive, out: Path, folder: Path, digests: dict[str, str]) -> None:
    """Fills a hidden folder and gives it its name when all is there."""
    draft = out / f".{archive.name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for file in archive.files:
            _place(out / ARCHIVE_FOLDER / file.name, draft / file.into)
        for book in sorted(draft.rglob("*.xlsx")) if archive.spreadsheets else ():
            to_csv(book, book.with_suffix(".csv"))
            book.unlink()
        facts = {
            "name": archive.name,
            "licence": archive.licence,
            "licence_url": archive.licence_url,
            "urls": [file.url for file in archive.files],
            "sha256": digests,
            "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        (draft / FACTS_FILE).write_text(text, encoding="utf-8")
        draft.replace(folder)
    except OSError as problem:
        raise DataError(f"{folder} cannot be written: {problem.strerror or problem}.", "Make room there.") from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(file: Path, folder: Path) -> None:
    """A zip archive's files, or any other file as it is."""
    if file.suffix == ".zip":
        unpack(file, folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # The same bytes need not lie on the disk twice.
        (folder / file.name).hardlink_to(file)
    except OSError:
        shutil.copyfile(file, folder / file.name)
