"""Fingerprints that tell whether a step would do anything new: of the data, the code and the reigning champion."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import liverank
from liverank.config import Config, DataConfig
from liverank.data.locations import is_url, locate
from liverank.errors import DataError, StoreError


def code_version() -> str:
    """The library's version and a hash of the source that steps run (the command line apart)."""
    root = Path(liverank.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if not name.startswith("cli/"):
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{liverank.__version__}+{digest.hexdigest()[:12]}"


def snapshot(data: DataConfig) -> str:
    """What the sources hold now: names, sizes and versions of the files, and how far and how full the live log is.

    A file's version is its time here, its ETag, generation or time in a store. A database, a topic, or a store that
    does not answer cannot be looked at; it counts as new each time.
    """
    from liverank.store import store_exists

    digest = hashlib.sha256()
    for source in data.every_source():
        digest.update(f"{source.model_dump_json()}\n".encode())
        digest.update("".join(f"{line}\n" for line in _files(source.source)).encode())
    if data.live_store and store_exists(data.live_store):
        digest.update(f"live {_live_state(data.live_store)}".encode())
    return digest.hexdigest()[:16]


def champion_version(config: Config) -> str:
    """The version that is champion now; empty when there is none yet.

    Raises:
        RegistryError: the registry does not answer; better said now than after the training.
    """
    file = config.tracking_uri.removeprefix("sqlite:///")
    if file != config.tracking_uri and not Path(file).exists():
        return ""
    from liverank.registry import champion

    found = champion(config.resolved().registry)
    return found.version if found else ""


def _files(source: str) -> list[str]:
    """A line for each file; for what is no file, or cannot be reached, one that differs each time."""
    try:
        found = locate(source)
    except DataError:
        found = []
    if is_url(source) and (not found or not all(file.version for file in found)):
        return [f"at {datetime.now(UTC).isoformat()}"]
    return [f"{file}\0{file.size}\0{file.version}" for file in found]


def _live_state(place: str) -> str:
    from liverank.store import open_store

    try:
        with closing(open_store(place)) as store:
            # The number of records too: erasing a user moves no cursor, and must not be answered from before.
            return f"{store.cursor()} {sum(1 for _ in store.export())}"
    except StoreError:
        return f"at {datetime.now(UTC).isoformat()}"
