"""A tracking server in place of SQLite: the same calls, bundles fetched into a cache."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from liverank.config import RegistryConfig
from liverank.errors import BundleError, RegistryError
from liverank.ranking.bundle_files import load_bundle
from liverank.registry import champion, download, physical_uri


@pytest.fixture(scope="module")
def server(tmp_path_factory, empty_database) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = _start(folder, port)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    settings = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=settings, stdout=log, stderr=log, start_new_session=True)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"the tracking server did not start: {log.read_text(encoding='utf-8')}")


@pytest.mark.slow
def test_a_server_keeps_versions_and_the_cache_their_bundles(server, models, tmp_path):
    config = RegistryConfig(tracking_uri=server, cache=str(tmp_path / "cache"))
    assert champion(config) is None
    made = models.first.register(config)
    assert (made.version, made.promoted) == ("1", True)

    folder = download(config, "champion")
    assert folder == tmp_path / "cache" / made.bundle_hash
    assert load_bundle(folder).hash == made.bundle_hash
    stamp = folder.stat().st_ino
    assert download(config, "1").stat().st_ino == stamp  # fetched once

    (folder / "count" / "settings.json").write_text("{}")
    with pytest.raises(BundleError, match="altered"):
        download(config, "champion")

    with pytest.raises(RegistryError, match=r"behind the tracking server .*--no-serve-artifacts"):
        physical_uri(config, "champion")
