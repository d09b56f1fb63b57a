"""The root command and how it ends: 0 done, 2 the user can mend it, 130 / 143 interrupted, 1 a defect."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib import import_module
from types import FrameType

import typer

from liverank.cli.options import DebugFlag
from liverank.environment import silence_telemetry
from liverank.errors import LiverankError

app = typer.Typer(
    name="liverank",
    help="Re-rank candidates for one user from what that user did seconds ago, as a closed loop on Kubeflow.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

COMMANDS: tuple[str, ...] = (
    "demo", "data", "run", "tune", "evaluate", "promote", "backfill", "serve", "top", "rank", "send", "erase",
    "experiment", "monitor", "decisions", "compress", "distil", "compile", "submit", "schedule", "config",
)  # fmt: skip
"""Module liverank.cli.<name>_command has either `app` (a group) or a function `<name>`."""


@app.callback()
def root(debug: DebugFlag = False) -> None:
    """Options that every command takes."""


def register_commands() -> None:
    """Adds every command to the app, once; only the standard library and typer are imported by this."""
    if app.registered_commands:
        return
    for name in COMMANDS:
        module = import_module(f"liverank.cli.{name}_command")
        group = getattr(module, "app", None)
        if group is not None:
            app.add_typer(group, name=name)
        else:
            app.command(name)(getattr(module, name))


class Terminated(BaseException):
    """SIGTERM, as an exception, so that every `finally` runs."""


class Interrupted(BaseException):
    """Ctrl-C, under a name that typer does not know: it would end without a word."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


def main() -> None:
    """Entry point of the `liverank` command."""
    silence_telemetry()
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _interrupt)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    register_commands()
    try:
        app([argument for argument in arguments if argument != "--debug"], standalone_mode=True)
    except LiverankError as problem:
        _end(problem.exit_code, f"Error: {problem}", debug)
    except (Interrupted, KeyboardInterrupt, typer.Abort):
        _end(130, "Interrupted; what was finished is kept, run the same command again to go on.", debug)
    except Terminated:
        _end(143, "Terminated; what was finished is kept, run the same command again to go on.", debug)
    except Exception as problem:  # noqa: BLE001  the last line of defence: a defect, said as such
        _end(
            1, f"Unexpected {type(problem).__name__}: {problem}. This is a defect; --debug shows the traceback.", debug
        )


def _end(code: int, message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    typer.echo(message, err=True)
    sys.exit(code)
