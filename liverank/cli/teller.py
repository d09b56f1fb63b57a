"""How a pipeline run is told on the console, for every command that starts one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"done": "[green]done[/green]", "cached": "[cyan]as before[/cyan]", "failed": "[red]failed[/red]"}
SECONDS_BETWEEN_LINES = 15.0
"""Where nobody sees a moving line (a log file), work that goes on is told this often."""


def teller(console: Console, update: Callable[[str], Any]) -> Callable[[dict[str, Any]], None]:
    """Draws progress: what is under way in the moving line, what is found or finished above it."""
    from rich.markup import escape

    told = [time.monotonic()]

    def advance(event: dict[str, Any]) -> None:
        total = f" of {event['total']:,.0f}" if event.get("total") else ""
        line = f"[bold]{event['step']}[/bold]: {escape(event['stage'])} {event['done']:,.0f}{total}"
        update(line)
        if not console.is_terminal and time.monotonic() - told[0] > SECONDS_BETWEEN_LINES:
            told[0] = time.monotonic()
            console.print(f"  {line}", highlight=False, soft_wrap=True)

    def tell(event: dict[str, Any]) -> None:
        step, kind = event["step"], event["event"]
        if kind == "step" and event["state"] == "running":
            update(f"[bold]{step}[/bold]")
        elif kind == "step":
            seconds = f" in {event['seconds']:.1f} s" if event["state"] != "cached" else ""
            console.print(f"[bold]{step}[/bold]: {MARKS[event['state']]}{seconds}", highlight=False)
        elif kind == "note":
            console.print(f"  {escape(event['text'])}", highlight=False, soft_wrap=True)
        elif kind == "start":
            update(f"[bold]{step}[/bold]: {escape(event['stage'])}")
        elif kind == "advance":
            advance(event)

    return tell
