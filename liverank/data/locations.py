"""Where the files of a source are: on this machine, or in a store that fsspec knows (s3://, gs://, memory://, ...)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from liverank.data.location_stream import stream
from liverank.errors import DataError

GZIP: Final = ".gz"
READ_AHEAD: Final = 8 << 20
"""Bytes that a store is asked for at once."""
_WINDOWS: Final = re.compile(r"^([A-Za-z]:[\\/]|\\\\)")
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY_SECRET: Final = re.compile(r"(?i)([?&][^=&\s]*(?:key|token|secret|password|sig|signature)[^=&\s]*=)[^&\s]+")


def without_secrets(url: str) -> str:
    """The URL as messages may show it: without user, password and signed parameters."""
    return _QUERY_SECRET.sub(r"\1***", _SECRET.sub("***@", url))


def is_url(source: str) -> bool:
    """Whether `source` names a store by a URL and not a file of this machine."""
    return "://" in source


@dataclass(frozen=True)
class Location:
    """One file of a source."""

    url: str
    """Its path, or its URL without credentials: what messages call it."""
    size: int
    """Bytes as stored, before `.gz` is undone."""
    version: str = ""
    """Changes when the content does: ETag, generation or time of the last change; empty where the store tells none."""
    path: Path | None = None
    """Where it is on this machine; None: elsewhere."""
    encoding: str = ""
    """Of its text, where the source's configuration says it; empty: UTF-8."""
    _store: Any = field(default=None, repr=False, compare=False)
    _key: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        """What messages call it."""
        return self.url

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.url.rsplit("/", 1)[-1] if self.path is None else self.path.name

    @property
    def folder(self) -> str:
        """The last part of the path of the folder it is in; empty where it is in none."""
        return self.path.absolute().parent.name if self.path else ("/" + self.url).rsplit("/", 2)[-2]

    @property
    def stem(self) -> str:
        """Its name without `.gz` and without the suffix."""
        return Path(self.name.removesuffix(GZIP)).stem

    @property
    def suffix(self) -> str:
        """`.csv` of both `a.csv` and `A.CSV.gz`; empty where the name has none."""
        lowered = self.name.lower()
        return Path(lowered.removesuffix(GZIP)).suffix

    @property
    def is_gzip(self) -> bool:
        """Whether the file is stored compressed, by its name."""
        return self.name.lower().endswith(GZIP)

    def open(self) -> BinaryIO:
        """Its content from the beginning, decompressed where the name ends in `.gz`.

        Whatever goes wrong, at once or while it is read, is a DataError that names the file: it is gone, may not be
        read, is cut off, or became shorter.
        """
        raw = stream(self._open_raw, self.url, self.size)
        return stream(lambda: gzip.GzipFile(fileobj=raw), self.url) if self.is_gzip else raw

    def _open_raw(self) -> Any:
        return (
            self.path.open("rb", buffering=0) if self.path else self._store.open(self._key, "rb", block_size=READ_AHEAD)
        )

    def sibling(self, name: str) -> Location | None:
        """The file of that name in the same folder; None where there is none."""
        parent = str(self.path.parent) if self.path else self._store._parent(self._key)
        found = _local(f"{parent}/{name}") if self.path else _listed(self._store, f"{parent}/{name}", self.url)
        return replace(found[0], encoding=self.encoding) if found and found[0].name == name else None


def locate(source: str) -> list[Location]:
    """The files that `source` means, sorted by path: one file, those in a folder and its folders, or of a glob.

    Files and folders whose name starts with a dot or an underscore are not part of a folder.

    Raises:
        DataError: nothing is there, the store does not answer or is of an unknown kind.
    """
    if not source:
        raise DataError("No data source is given.", "Set data.source to a file, a folder, a glob or a URL.")
    found = _remote(source) if is_url(source) else _local(source)
    if not found:
        raise _nothing(source)
    return found


def _nothing(source: str) -> DataError:
    if not is_url(source) and _WINDOWS.match(source):
        drive, rest = source[0].lower(), source[2:].replace("\\", "/").lstrip("/")
        return DataError(
            f"{source} is a path of Windows, and this machine has no such file.",
            f"Under WSL that is /mnt/{drive}/{rest}; elsewhere copy the file here and name its path.",
        )
    hint = "data.source names a file, a folder with files, a glob, or a URL such as s3://bucket/events/."
    if "\\" in source:
        hint = "Paths are written with / here, not with \\."
    return DataError(f"There is no data at {without_secrets(source)}.", hint)


def _local(source: str) -> list[Location]:
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            found = [file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path).parts)]
        elif path.exists():
            found = [path]
        else:
            found = [file for file in _glob(path) if file.is_file()]
        return [_described(file) for file in sorted(found)]
    except OSError as problem:
        raise DataError(f"{source} cannot be looked at: {problem.strerror or problem}.", "Check the path.") from problem


def _glob(pattern: Path) -> Iterator[Path]:
    import glob

    yield from (Path(name) for name in glob.glob(str(pattern), recursive=True))


def _described(file: Path) -> Location:
    facts = file.stat()
    return Location(str(file), facts.st_size, str(facts.st_mtime_ns), file)


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _remote(source: str) -> list[Location]:
    if source.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return _local(unquote(urlsplit(source).path))
    from fsspec.core import url_to_fs

    with _store_errors(source):
        # A long-lived process must see what is there now, not a listing kept from before.
        store, key = url_to_fs(source, use_listings_cache=False)
        return _listed(store, key, source)


def _listed(store: Any, key: str, source: str) -> list[Location]:
    """The files at a key of a store: one, those below it, or those of a glob."""
    with _store_errors(source):
        store.invalidate_cache()
        if any(mark in key for mark in "*?["):
            found = store.glob(key, detail=True)
        elif store.isfile(key) and not key.endswith("/"):
            found = {key: store.info(key)}
        else:
            found = _below(store, key.rstrip("/")) if store.exists(key) else {}
        scheme = source.split("://", 1)[0]
        return [_stored(store, scheme, name, facts) for name, facts in sorted(found.items()) if _is_file(facts)]


def _below(store: Any, key: str) -> dict[str, Any]:
    depth = len(key)
    found = store.find(key, detail=True)
    return {name: facts for name, facts in found.items() if not _hidden(tuple(name[depth:].strip("/").split("/")))}


def _is_file(facts: dict[str, Any]) -> bool:
    # Stores show an empty object whose name ends in a slash where someone made a folder.
    return facts.get("type") == "file" and not str(facts.get("name", "")).endswith("/")


def _stored(store: Any, scheme: str, key: str, facts: dict[str, Any]) -> Location:
    version = next((str(facts[name]) for name in ("ETag", "etag", "generation", "mtime", "LastModified", "updated",
                                                  "created") if facts.get(name)), "")  # fmt: skip
    url = f"{scheme}://{key.lstrip('/')}"
    return Location(without_secrets(url), int(facts.get("size") or 0), version, None, "", store, key)


@contextmanager
def _store_errors(source: str) -> Iterator[None]:
    """Whatever a store's client raises, as a DataError without credentials."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as problem:
        raise _nothing(source) from problem
    except ImportError as problem:
        raise DataError(f"{without_secrets(source)} cannot be read: {problem}.", "Install that package.") from problem
    except Exception as problem:  # each store's client has exceptions of its own
        # Clients quote what they were given, so what stands before the @ must go there too.
        given = _SECRET.search(source)
        reason = told(problem).replace(given[0] if given else "@", "***@" if given else "@")
        raise DataError(
            f"{without_secrets(source)} cannot be looked at: {reason}.",
            "Check the URL and the credentials in the environment (AWS_*, GOOGLE_APPLICATION_CREDENTIALS, ...).",
        ) from problem


def told(problem: BaseException) -> str:
    """A problem in one line, without credentials."""
    return without_secrets(" ".join(str(problem).split()).rstrip(".") or type(problem).__name__)
