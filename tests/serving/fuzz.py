"""Requests of every kind, made from the server's own OpenAPI document, and checked against what it promises.

Run as `python -m tests.serving.fuzz [SECONDS]`: against a server process with the small model, 600 seconds long.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
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


def command(url: str, *options: str) -> list[str]:
    """Schemathesis over every operation of the server at `url`."""
    start = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
    return [*start, "--checks", ",".join(CHECKS), "--continue-on-failure", "--warnings", "off", *options]


def main(seconds: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "ws").start()
        try:
            return subprocess.run(command(server.url, "--max-time", str(seconds)), cwd=folder, check=False).returncode
        finally:
            server.clean()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 600))
