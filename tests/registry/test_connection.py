"""First use, races and stores that do not answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from liverank.config import RegistryConfig
from liverank.errors import RegistryError
from liverank.registry import champion, promote, resolve
from tests.registry.conftest import local

_LOOK = "import sys; from tests.registry.conftest import local; from liverank.registry import champion; "


def test_racing_first_use_hurts_nobody(tmp_path):
    """Of several processes that create one SQLite store without a lock, all but one die."""
    code = _LOOK + "from pathlib import Path; assert champion(local(Path(sys.argv[1]))) is None"
    racers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "new")], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [racer.communicate()[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], errors
    assert not any("alembic" in error for error in errors)


def test_racing_promotions_leave_one_champion_and_its_predecessor(config, models):
    versions = [of.register(config).version for of in (models.first, models.better, models.worse)]
    assert resolve(config, "champion").version == "2"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda version: promote(config, version, "race"), versions * 2))
    last = resolve(config, "champion")
    assert resolve(config, "previous").version == last.tags["replaced_version"] != last.version


def test_a_closed_port_is_said_at_once():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(RegistryError, match=f"The tracking server http://127.0.0.1:{port} does not answer"):
        champion(RegistryConfig(tracking_uri=f"http://127.0.0.1:{port}"))


def test_a_server_that_accepts_and_is_silent_is_given_up(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        uri = f"http://name:secret@127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RegistryError, match="does not answer") as refusal:
            champion(RegistryConfig(tracking_uri=uri, timeout_seconds=0.3))
    assert "secret" not in str(refusal.value)


def test_no_uri_is_a_mistake_of_the_caller():
    with pytest.raises(RegistryError, match="No tracking URI"):
        champion(RegistryConfig())


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and it is long enough to be read as one" * 20)
    with pytest.raises(RegistryError, match="file is not a database"):
        champion(local(tmp_path))


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RegistryError, match="cannot be used"):
        champion(local(tmp_path / "file" / "workspace"))


def test_importing_the_registry_does_not_import_mlflow():
    code = "import sys, liverank.registry, liverank.cli.main; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path.cwd()).returncode == 0


def test_commands_promote_and_explain(config, models, tmp_path, monkeypatch, capsys):
    from liverank.cli.main import main

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["liverank", "promote", *arguments, "-s", f"workspace={tmp_path}"])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    for of in (models.first, models.worse):
        of.register(config)
    capsys.readouterr()
    assert command("--reason", "better for new users") == (
        0,
        "Version 2 of 'liverank' is the champion; version 1 is 'previous'.\n",
    )
    assert command("2", "--reason", "again")[1].endswith("is the champion already; nothing changed.\n")
    assert command("previous", "--reason", "rollback")[0] == 0
    code, said = command("7", "--reason", "x")
    assert code == 2
    assert "no version '7'" in said
    code, said = command("1")
    assert code == 2
    assert "needs a reason" in said
    assert os.path.exists(tmp_path / "mlflow.db.lock")
