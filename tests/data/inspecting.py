"""`liverank data inspect` as a person calls it."""

from __future__ import annotations

from typer.testing import CliRunner

from liverank.cli.data_command import app

TIME = "2026-01-31T12:00:00Z"


def run(*arguments):
    told = CliRunner().invoke(
        app, ["inspect", *(str(argument) for argument in arguments)], catch_exceptions=False, env={"COLUMNS": "160"}
    )
    assert told.exit_code == 0
    return told.stdout
