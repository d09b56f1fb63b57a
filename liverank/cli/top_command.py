"""`liverank top`: what a model server is doing, second by second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from liverank.cli.connection import START, ServerUrl, metrics
from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.cli.top_figures import Figures
    from liverank.config import Config

Wait = Callable[[float], bool]
"""Waits so many seconds; whether somebody wants to end before."""


def top(
    once: Annotated[bool, typer.Option("--once", help="Look for one interval, print it and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of tables.")] = False,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")] = 1.0,
    url: ServerUrl = "",
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
) -> None:
    """Watch a running model server: rates, errors, where the time goes, what is degraded; q or Ctrl-C ends it."""
    from liverank.cli.main import Interrupted
    from liverank.config import load_config

    config = load_config(file or None, overrides(settings))
    try:
        with _keys() as wait:
            looks = _looks(config, url, interval, wait, once)
            _print_json(looks) if as_json else _print_tables(looks)
    except (Interrupted, KeyboardInterrupt):
        return


def _looks(config: Config, url: str, interval: float, wait: Wait, once: bool) -> Iterator[tuple[str, Figures]]:
    """The server's URL and its figures, interval by interval, until somebody wants to end."""
    from liverank.cli.top_figures import figures
    from liverank.errors import ServingError

    _, former = metrics(config, url)
    looked = time.perf_counter()
    while not wait(interval):
        try:
            base, latest = metrics(config, url)
        except ServingError as problem:
            if once:
                raise
            # A server that is started anew is looked at again.
            typer.echo(f"{problem}", err=True)
            continue
        now = time.perf_counter()
        if "liverank_model_info" not in latest.samples:
            raise ServingError(f"What answers at {base} is no liverank server.", START)
        yield base, figures(former, latest, now - looked, time.time())
        if once:
            return
        former, looked = latest, now


def _print_json(looks: Iterator[tuple[str, Figures]]) -> None:
    import json
    from dataclasses import asdict

    for url, found in looks:
        typer.echo(json.dumps({"url": url, **asdict(found)}))


def _print_tables(looks: Iterator[tuple[str, Figures]]) -> None:
    from rich.console import Console
    from rich.live import Live

    from liverank.cli.top_table import shown

    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        for url, found in looks:
            console.print(shown(found, url))
        return
    first = next(looks, None)
    if first is None:
        return
    with Live(shown(first[1], first[0]), console=console, auto_refresh=False) as live:
        for url, found in looks:
            live.update(shown(found, url), refresh=True)


@contextmanager
def _keys() -> Iterator[Wait]:
    """Waits that `q` ends, where somebody types; elsewhere they just wait."""
    import os
    import select
    import sys

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield _waited
        return
    import termios
    import tty

    def waited(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([keyboard], [], [], left)[0]:
                typed = os.read(keyboard, 64)
                if not typed or b"q" in typed.lower():
                    return True
        return False

    keyboard = sys.stdin.fileno()
    former = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield waited
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, former)


def _waited(seconds: float) -> bool:
    time.sleep(seconds)
    return False
