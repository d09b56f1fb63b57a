"""`liverank data` as a user meets it."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.data.dataset import read_source
from liverank.events import encode_record, from_table
from tests.data.writing import clicks_csv


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_generate_and_inspect(tmp_path):
    size = ("--users", 30, "--items", 40, "--days", 3, "--seed", 5, "--drift-at", 2, "--dirt", 0.1)
    made = run("generate", tmp_path / "world", *size)
    assert made.exit_code == 0
    assert made.stdout.startswith("Wrote synthetic data to")
    source = read_source(tmp_path / "world")
    assert source["generator"]["drift_at"] == 2
    seen = run("inspect", tmp_path / "world", "--samples", 1).stdout
    assert "format contract, synthetic" in seen
    assert "items: 40 rows" in seen
    assert "type hover" in seen
    assert "unknown: give it a weight in data.event_weights" in seen
    assert "user_id is missing" in seen


def test_inspect_a_csv_of_clicks(tmp_path):
    path = clicks_csv(tmp_path / "clicks.csv", "u,a,2026-01-31T12:00:00", "v,a,2026-01-31T13:00:00")
    assert "The times carry no zone: UTC is assumed" in run("inspect", path).stdout
    assert (
        "interactions: 2 rows, 2026-01-31 11:00 to 2026-01-31 12:00 UTC"
        in run("inspect", path, "--timezone", "Europe/Paris").stdout
    )


def test_the_schema_accepts_what_the_generator_makes(world):
    from liverank.data.dataset import read_dataset

    schema = json.loads(run("schema").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name, table in read_dataset(world).tables.items():
        for record in from_table(table.slice(0, 5), name):
            validator.validate(json.loads(encode_record(record)))
