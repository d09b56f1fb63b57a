"""Requests of every kind, made from the server's own OpenAPI document, and checked against what it promises.

Run as `python -m tests.serving.fuzz [SECONDS]`: against a server process with the small model, 600 seconds long.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

from tests.serving.conftest import Server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""Without the one that wants whatever fits the schema accepted: two candidates of one name fit it, and are refused."""

LINES_TOLD = 60
"""Of the server's log, after a failure."""


def command(url: str, *options: str) -> list[str]:
    """Schemathesis over every operation of the server at `url`."""
    start = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    return [*start, "--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off", *options]


def main(seconds: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        server, log = Server(Path(folder) / "ws").start(), Path(folder) / "log"
        assert server.process is not None
        # A pipe that nobody reads fills up, and the server would wait to write into it.
        reading = threading.Thread(target=_copy, args=(server.process.stdout, log))
        reading.start()
        try:
            found = subprocess.run(command(server.url, "--max-time", str(seconds)), cwd=folder, check=False).returncode
            died = server.process.poll()
        finally:
            server.process.kill()
            reading.join()
            server.clean()
        if found or died is not None:
            end = "was there to the end" if died is None else f"ended with {died}"
            last = log.read_text(encoding="utf-8").splitlines()[-LINES_TOLD:]
            sys.stderr.write("\n".join([f"The server {end}. Its log:", *last, ""]))
        return found


def _copy(lines: Iterable[str], log: Path) -> None:
    with log.open("w", encoding="utf-8") as file:
        file.writelines(lines)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
