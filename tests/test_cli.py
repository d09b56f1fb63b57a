"""The command line as a user meets it: help at once, one clear line for what the user can mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

LIVERANK = str(Path(sys.executable).parent / "liverank")


def liverank(*arguments, **options):
    return subprocess.run([LIVERANK, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def test_help_lists_the_commands_and_imports_nothing_heavy():
    answer = liverank("--help")
    assert answer.returncode == 0
    assert "config" in answer.stdout
    heavy = "torch numpy pandas pyarrow mlflow kfp kserve evidently great_expectations duckdb"
    code = f"""
import sys
from liverank.cli.main import register_commands
register_commands()
print([name for name in {heavy.split()!r} if name in sys.modules])
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_config_prints_what_is_in_force(tmp_path):
    answer = liverank("config", "--set", "features.candidates=33", cwd=tmp_path)
    assert answer.returncode == 0
    assert yaml.safe_load(answer.stdout)["features"]["candidates"] == 33


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("config", "--set", "features.candidtes=33"), "did you mean 'features.candidates'"),
        (("config", "--set", "features.candidates"), "has no '='"),
        (("config", "--config", "absent.yaml"), "no configuration file absent.yaml"),
        (("config", "-s", "features=5", "-s", "features.candidates=3"), "'features' is set to 5"),
        (("config", "-s", "workspace=a", "-s", "workspace.x=3"), "'workspace' is set to 'a'"),
        (("config", "-s", "training.interest.heads=3"), "heads (3) must divide dimension (128)"),
        (("data", "inspect", "clicks.csv", "--timezone", "Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
        (("data", "generate", "/proc/foo"), "/proc/foo cannot be made"),
        (("data", "generate", "clicks.csv"), "clicks.csv cannot be made"),
        (("data", "generate", "clicks.csv/inside"), "clicks.csv/inside cannot be made"),
        (("data", "generate", "."), "holds no synthetic dataset"),
        (("run", "--data", "clicks.csv", "-s", "workspace=/proc/x"), "The workspace /proc/x cannot be written"),
        (("run", "--data", "clicks.csv", "-s", "workspace=clicks.csv"), "clicks.csv cannot be written"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, arguments, said):
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n")
    answer = liverank(*arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert said in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clicks.csv"]
    assert (tmp_path / "clicks.csv").read_text() == "user_id,item_id,timestamp\n"


def test_synthetic_data_replace_only_synthetic_data(tmp_path):
    size = ("--users", "5", "--items", "20", "--days", "2")
    for seed in ("1", "2"):
        assert liverank("data", "generate", "made", "--seed", seed, *size, cwd=tmp_path).returncode == 0
    source = tmp_path / "made" / "source.json"
    for text in (source.read_text().replace('"synthetic": true', '"synthetic": false'), "{", ""):
        source.write_text(text)
        refused = liverank("data", "generate", "made", *size, cwd=tmp_path)
        assert refused.returncode == 2
        assert "holds no synthetic dataset" in refused.stderr
        assert source.read_text() == text


def test_debug_shows_the_traceback(tmp_path):
    answer = liverank("config", "--config", "absent.yaml", "--debug", cwd=tmp_path)
    assert answer.returncode == 2
    assert "Traceback" in answer.stderr
