"""Unpacks a zip archive into a folder of its own: nothing outside of it, no links, no bombs, all of it or nothing."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from liverank.errors import DataError

MOST_BYTES: Final = 200 << 30
MOST_TIMES: Final = 200
"""How many times its stored size a member may grow: text shrinks to a tenth, a bomb to a thousandth."""
SMALL: Final = 10 << 20
BLOCK: Final = 1 << 20
IGNORED: Final = ("__MACOSX", ".DS_Store")


def unpack(archive: Path, folder: Path) -> None:
    """The archive's files below `folder`, without the one folder that all of them are in.

    Raises:
        DataError: it is damaged, or a member would be written elsewhere or grow beyond reason; nothing is left then.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = [member for member in content.infolist() if not member.is_dir() and not _ignored(member)]
            top = _common_folder(members)
            for member in members:
                _check(member, archive)
                parts = PurePosixPath(member.filename).parts[1 if top else 0 :]
                _write(content, member, folder.joinpath(*parts))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"{archive} is no whole zip archive: {problem}.", "Remove it and fetch it again.") from problem
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _ignored(member: zipfile.ZipInfo) -> bool:
    return any(part in IGNORED for part in PurePosixPath(member.filename).parts)


def _common_folder(members: list[zipfile.ZipInfo]) -> str:
    tops = {PurePosixPath(member.filename).parts[0] for member in members}
    nested = all(len(PurePosixPath(member.filename).parts) > 1 for member in members)
    return tops.pop() if len(tops) == 1 and nested else ""


def _check(member: zipfile.ZipInfo, archive: Path) -> None:
    """Refuses a member that is not a plain file of reasonable size at a place below the folder.

    Raises:
        DataError: it is none.
    """
    path = PurePosixPath(member.filename)
    mode = member.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in path.parts[0]:
        raise _unsafe(archive, member, "would be written outside of its folder")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _unsafe(archive, member, "is no plain file")
    grows = member.file_size > SMALL and member.file_size > MOST_TIMES * max(member.compress_size, 1)
    if grows or member.file_size > MOST_BYTES:
        raise _unsafe(archive, member, f"would grow to {member.file_size:,} bytes")


def _unsafe(archive: Path, member: zipfile.ZipInfo, why: str) -> DataError:
    return DataError(f"{archive} is not unpacked: its member {member.filename!r} {why}.", "Do not trust this archive.")


def _write(content: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, path.open("wb") as out:
        shutil.copyfileobj(source, out, BLOCK)
        out.flush()
        os.fsync(out.fileno())
