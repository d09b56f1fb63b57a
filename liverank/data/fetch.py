"""Fetches one file over HTTP: goes on where it stopped, verifies, and shows a file only when it is whole."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from liverank.data.archives import RemoteFile
from liverank.errors import DataError
from liverank.progress import stage

BLOCK: Final = 1 << 18
ATTEMPTS: Final = 5
"""Times that a connection may break before the user is asked to run the command again."""
TIMEOUT: Final = 30.0
"""Seconds without a byte after which a connection counts as broken."""
AGENT: Final = "liverank (dataset download)"


class CutOff(Exception):
    """The connection ended before the file did."""


def fetch(file: RemoteFile, to: Path, pause: Callable[[float], None] = time.sleep) -> str:
    """Fetches `file` as `to` unless it is there already, and returns its sha256.

    What has come so far stays in `<name>.part`, so that the next call goes on from there; the sha256 of a whole file
    is written beside it as `<name>.sha256`.

    Args:
        file: where it is and what is known of it.
        to: the file to write.
        pause: waits the seconds between two attempts.

    Raises:
        DataError: the server cannot be reached or refuses, the connection breaks again and again, or the file is not
            the one whose checksum is known.
    """
    if not to.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f"{to.name}.part")
        with stage(f"download {to.name}", file.size or None) as progress:
            _attempts(file, part, progress.advance, pause)
        _verify(file, part)
        _facts(part).unlink(missing_ok=True)
        part.replace(to)
    digest = _verify(file, to)
    note = to.with_name(f"{to.name}.sha256")
    note.write_text(f"{digest}  {to.name}\n", encoding="utf-8")
    return digest


def _attempts(file: RemoteFile, part: Path, advance: Callable[[float], None], pause: Callable[[float], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _transfer(file.url, part, advance)
            return
        except urllib.error.HTTPError as problem:
            if problem.code == 416:  # what is here is not a beginning of what is there now
                part.unlink(missing_ok=True)
            elif problem.code < 500:
                raise _refused(file, part, problem) from problem
            last: Exception = problem
        except urllib.error.URLError as problem:
            raise _unreachable(file, part, problem) from problem
        except (CutOff, http.client.HTTPException, OSError) as problem:
            last = problem
        if attempt < ATTEMPTS:
            pause(float(2 ** (attempt - 1)))
    have = part.stat().st_size if part.exists() else 0
    raise DataError(
        f"{file.url} broke off {ATTEMPTS} times ({last}); {have:,} bytes are here.",
        "Run the same command again: it goes on from there.",
    ) from last


def _transfer(url: str, part: Path, advance: Callable[[float], None]) -> None:
    """One attempt: asks for the bytes that are missing, if the file there is still the same one."""
    have = part.stat().st_size if part.exists() else 0
    known = _read_facts(part) if have else {}
    if have and known.get("url") != url:
        part.unlink()
        have = 0
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": known["tag"]} if known.get("tag") else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        goes_on = answer.status == 206
        have = have if goes_on else 0
        _write_facts(part, {"url": url, "tag": _tag(answer.headers)})
        length = answer.headers.get("Content-Length")
        expected = have + int(length) if length else 0
        advance(float(have))
        with part.open("ab" if goes_on else "wb") as out:
            while block := answer.read(BLOCK):
                out.write(block)
                advance(float(len(block)))
    got = part.stat().st_size
    if expected and got < expected:
        raise CutOff(f"{got:,} of {expected:,} bytes came")


def _tag(headers: Any) -> str:
    """What tells this version of the file from another: a strong ETag, or the time of its last change."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _facts(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _write_facts(part: Path, facts: dict[str, str]) -> None:
    _facts(part).write_text(json.dumps(facts), encoding="utf-8")


def _read_facts(part: Path) -> dict[str, str]:
    try:
        facts = json.loads(_facts(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _verify(file: RemoteFile, path: Path) -> str:
    """The file's sha256, once its known checksum agrees.

    Raises:
        DataError: it does not; the file is removed.
    """
    kind, _, expected = file.checksum.partition(":")
    digests = {"sha256": hashlib.sha256(), **({kind: hashlib.new(kind)} if kind else {})}
    with path.open("rb") as content:
        while block := content.read(1 << 20):
            for digest in digests.values():
                digest.update(block)
    if kind and digests[kind].hexdigest() != expected:
        path.unlink()
        raise DataError(
            f"{file.name} is not the file whose {kind} is known: expected {expected}, got {digests[kind].hexdigest()}; "
            "it was removed.",
            f"Fetch it again; if it stays so, {file.url} has changed.",
        )
    return digests["sha256"].hexdigest()


def by_hand(file: RemoteFile, to: Path) -> str:
    """What to do where the file cannot be fetched from here."""
    return (
        f"Fetch {file.url} by hand, put it at {to} and run the same command again: it goes on from there, with the "
        "same checks."
    )


def _refused(file: RemoteFile, part: Path, problem: urllib.error.HTTPError) -> DataError:
    to = part.with_name(part.name.removesuffix(".part"))
    return DataError(f"{file.url} answers {problem.code} {problem.reason}.", by_hand(file, to))


def _unreachable(file: RemoteFile, part: Path, problem: urllib.error.URLError) -> DataError:
    to = part.with_name(part.name.removesuffix(".part"))
    host = urllib.request.Request(file.url).host
    return DataError(f"{host} cannot be reached ({problem.reason}).", by_hand(file, to))
