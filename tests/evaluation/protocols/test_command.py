"""`liverank evaluate --data`, as a user meets it."""

from __future__ import annotations

import json

import pytest

from tests.evaluation.protocols.made import event, write


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    from liverank.cli.main import main

    monkeypatch.setattr("sys.argv", ["liverank", "evaluate", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_table_and_the_files(dataset, tmp_path, monkeypatch, capsys):
    given = ["--data", str(dataset), "--protocol", "leave-one-out", "--out", str(tmp_path), "--max-users", "40"]
    quick = ["-s", "training.interest.enabled=false", "-s", "evaluation.bootstrap_samples=100"]
    assert command(monkeypatch, *given, "--lists", "5", "--renumber", *quick) == 0
    said = capsys.readouterr().out
    assert "all items (40 requests)" in said
    assert "plain count + TF-IDF" in said
    assert "lists of 5 from count, truth in the list" in said
    assert json.loads((tmp_path / "metrics.json").read_text())["settings"]["renumber"] is True
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--data", "d", "--bundle", "b", "--features", "f"), "--data goes with no option of a bundle"),
        (("--data", "d", "--protocol", "temporal", "--champion", "b"), "--data goes with no option of a bundle"),
        (("--data", "d"), "--data needs a --protocol"),
        (("--bundle", "b", "--features", "f", "--seeds", "3"), "--seeds goes with --data only"),
        (("--bundle", "b", "--features", "f", "--keep-seen"), "--keep-seen goes with --data only"),
        (("--bundle", "b"), "nothing to evaluate"),
        ((), "nothing to evaluate"),
        (("--data", "d", "--protocol", "leave-one-out", "--lists", "x"), "'x' is no list of lengths"),
        (("--data", "/absent", "--protocol", "leave-one-out"), "/absent"),
        (("--data", "/absent", "--protocol", "other"), "--protocol: "),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, monkeypatch, capsys, given, said):
    assert command(monkeypatch, *given, "--out", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert said in error.splitlines()[-1]
    assert "Traceback" not in error


@pytest.mark.parametrize("block", ["gated", "lstm"])
def test_training_that_diverges_ends_with_what_to_do(dataset, tmp_path, monkeypatch, capsys, block):
    given = ["--data", str(dataset), "--protocol", "leave-one-out", "--out", str(tmp_path / "out")]
    rate = {"learning_rate": 1000, "epochs": 5, "dimension": 16, "layers": 1, "block": block, "batch_steps": 64}
    options = [part for name, value in rate.items() for part in ("-s", f"training.interest.{name}={value}")]
    assert command(monkeypatch, *given, *options) == 2
    error = capsys.readouterr().err
    assert "Set training.interest.learning_rate below 1000." in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_dataset_without_interactions_or_with_too_few(tmp_path, monkeypatch, capsys):
    for name, events, said in (
        ("none", [], "no interaction to look for"),
        ("few", [event("u", "abc"[at], at, at) for at in range(3)], "Only 1 requests can be tested"),
    ):
        folder = write(tmp_path / name, events, list("abc"))
        given = ("--data", str(folder), "--protocol", "leave-one-out", "--out", str(tmp_path / "out"))
        assert command(monkeypatch, *given) == 2
        assert said in capsys.readouterr().err
