"""A real PostgreSQL server for tests, from the binaries that Debian's `postgresql` package installs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "s3cret-of-the-database"


@dataclass
class Server:
    """A server on TCP with a password, and on a socket without one for the test itself."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://owner@127.0.0.1:{self.port}/postgres"

    def run(self, *statements: str) -> list[tuple]:
        """Executes statements; gives the rows of the last, if it has any."""
        import psycopg

        with psycopg.connect(host=str(self.folder), port=self.port, user="owner", dbname="postgres") as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def postgresql() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL: install Debian's package postgresql")
    binaries = found[-1].parent
    # The server refuses to run as root, and another user cannot enter pytest's own folders.
    who = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="liverank-pg-"))
    (folder / "password").write_text(PASSWORD)
    if who:
        for path in (folder, folder / "password"):
            shutil.chown(path, "nobody", "nogroup")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    init = [
        binaries / "initdb",
        "-D",
        folder / "data",
        "-U",
        "owner",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
    ]
    more = [f"--pwfile={folder}/password", "--no-sync", "-E", "UTF8", "--locale=C"]
    subprocess.run([*init, *more], check=True, capture_output=True, cwd="/", **who)
    serve = [binaries / "postgres", "-D", folder / "data", "-k", folder, "-p", str(port), "-h", "127.0.0.1", "-F"]
    process = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **who)
    try:
        deadline = time.monotonic() + 30
        ready = [binaries / "pg_isready", "-h", folder, "-p", str(port), "-q"]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.1)
        yield Server(port, folder)
    finally:
        process.send_signal(signal.SIGINT)  # does not wait for clients
        process.wait(timeout=20)
        shutil.rmtree(folder)
