"""The client commands, as a shell would run them, against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.conftest import ROOT, Server, click


def liverank(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from liverank.cli import main; main()", *arguments],
        input=stdin,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def on(server: Server) -> list[str]:
    return ["--set", f"workspace={server.workspace}"]


def test_send_one_event_and_rank(server: Server) -> None:
    sent = liverank("send", "--user", "shell", "--item", "b", *on(server))
    assert (sent.returncode, sent.stdout) == (0, "1 records accepted, 1 of them new.\n")
    shown = liverank("rank", "shell", "a", "b", "c", "--k", "2", *on(server))
    assert shown.returncode == 0
    assert "Ranking for shell" in shown.stdout
    lines = [line.split("│")[1:4] for line in shown.stdout.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in line] for line in lines] == [["1", "b", "1.0000"], ["2", "a", "0.0000"]]
    assert "version 1, impression " in shown.stdout


def test_rank_as_json_from_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("x\n\ny\n")
    (tmp_path / "rich.json").write_text(json.dumps([{"item_id": "z", "text": "新"}]))
    for name, expected in (("ids.txt", ["a", "x", "y"]), ("rich.json", ["z", "a"])):
        done = liverank("rank", "u", "a", "--candidates-file", str(tmp_path / name), "--json", *on(server))
        assert [line["item_id"] for line in json.loads(done.stdout)["ranking"]] == expected


def test_explain_says_what_is_missing(server: Server) -> None:
    done = liverank("rank", "u", "a", "--explain", *on(server))
    assert "degraded: explain" in done.stdout


@pytest.mark.parametrize("shape", ["lines", "list", "batch"])
def test_send_a_file_or_standard_input(server: Server, tmp_path: Path, shape: str) -> None:
    events = [click(number, shape) for number in range(3)]
    path = tmp_path / "events.json"
    text = {
        "lines": "\n".join(map(json.dumps, events)) + "\n\n",
        "list": json.dumps(events, indent=1),
        "batch": json.dumps({"events": events}),
    }[shape]
    path.write_text(text)
    assert liverank("send", str(path), *on(server)).stdout == "3 records accepted, 3 of them new.\n"
    assert liverank("send", "-", *on(server), stdin=text).stdout == "3 records accepted, 0 of them new.\n"


def test_send_says_which_record_is_bad(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(click(1)) + '\n{"user_id": "u"}\n')
    done = liverank("send", str(path), *on(server))
    assert done.returncode == 2
    assert "refused (400): Record 1: Object missing required field" in done.stderr
    path.write_text("not json\n")
    assert liverank("send", str(path), *on(server)).returncode == 2


def test_send_needs_something_to_send(server: Server) -> None:
    for arguments in ([], ["--user", "u"], ["file", "--user", "u"], ["no-such-file"]):
        done = liverank("send", *arguments, *on(server))
        assert done.returncode == 2
        assert done.stderr.startswith("Error: ")


def test_erase(server: Server) -> None:
    liverank("send", "--user", "me/you", "--item", "b", *on(server))
    refused = liverank("erase", "me/you", *on(server), stdin="n\n")
    assert refused.returncode != 0
    done = liverank("erase", "me/you", "--yes", *on(server))
    assert done.returncode == 0
    assert "1 records of user me/you are erased." in done.stdout
    assert "0 records" in liverank("erase", "me/you", "--yes", *on(server)).stdout


def test_an_erasure_is_certified(
    servers: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "a secret of the operator's")
    server = servers("serving.pseudonym_variable=SECRET").start()
    liverank("send", "--user", "anna", "--item", "b", *on(server))
    file = tmp_path / "erased.json"
    done = liverank("erase", "anna", "--yes", "--certificate", str(file), *on(server))
    assert done.returncode == 0, done.stderr
    assert "1 records of user anna are erased." in done.stdout
    assert "To do: Erase the user in the sources" in done.stdout
    keyed = [*on(server), "--set", "serving.pseudonym_variable=SECRET"]
    assert liverank("erase", "--verify", str(file), *keyed).stdout.startswith("Genuine: 1 records of user anna were")
    assert "no key" in liverank("erase", "--verify", str(file), *on(server)).stderr
    file.write_text(file.read_text().replace("anna", "ben"))
    changed = liverank("erase", "--verify", str(file), *keyed)
    assert changed.returncode == 2
    assert "was changed" in changed.stderr
    for arguments in ([], ["anna", "--verify", str(file)]):
        assert liverank("erase", *arguments, *on(server)).returncode == 2
    for place in (tmp_path / "no" / "folder", file):
        refused = liverank("erase", "anna", "--yes", "--certificate", str(place), *on(server))
        assert (refused.returncode, refused.stdout) == (2, "")
    free = tmp_path / "free.json"
    away = liverank("erase", "anna", "--yes", "--certificate", str(free), "--url", "http://127.0.0.1:9")
    assert (away.returncode, free.exists()) == (2, False)
    server.kill()


def test_no_server(tmp_path: Path) -> None:
    nowhere = ["--set", f"workspace={tmp_path}"]
    done = liverank("rank", "u", "a", *nowhere)
    assert done.returncode == 2
    assert f"No model server runs on the workspace {tmp_path}. Start one with `liverank serve`" in done.stderr
    for url in ("http://127.0.0.1:9", "nonsense"):
        done = liverank("rank", "u", "a", "--url", url, *nowhere)
        assert done.returncode == 2
        assert f"No model server answers at {url}" in done.stderr


def test_serve_says_that_there_is_no_champion(tmp_path: Path) -> None:
    done = liverank("serve", "--set", f"workspace={tmp_path / 'ws'}", "-s", "serving.http_port=0")
    assert done.returncode == 2
    assert "No version of model 'liverank' is champion yet. `liverank run` trains" in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_looks_at_the_address_before_it_loads_a_model(tmp_path: Path) -> None:
    done = liverank("serve", "--set", f"workspace={tmp_path / 'ws'}", "-s", "serving.host=0.0.0.0", LIVERANK_TOKEN="")
    assert done.returncode == 2
    assert "needs a token" in done.stderr
    assert "Loading" not in done.stderr


def test_the_token_is_sent(servers: object) -> None:
    server = servers(environment={"LIVERANK_TOKEN": "secret"}).start()  # type: ignore[operator]
    assert liverank("rank", "u", "a", *on(server), LIVERANK_TOKEN="secret").returncode == 0
    done = liverank("rank", "u", "a", *on(server), LIVERANK_TOKEN="wrong")
    assert done.returncode == 2
    assert "refused (401): This server needs the header Authorization" in done.stderr
