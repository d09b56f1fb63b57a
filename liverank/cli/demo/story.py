"""How the demo speaks: numbered chapters with durations, and claims that must hold for the demo to succeed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from liverank.cli.teller import teller


@dataclass
class Story:
    """Prints chapters and keeps every claim that was checked."""

    console: Console
    started: float = field(default_factory=time.monotonic)
    chapters: list[tuple[str, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """One stage of the loop, with its duration at the end."""
        began = time.monotonic()
        self.console.rule(f"[bold]{len(self.chapters) + 1}. {escape(title)}", align="left")
        yield
        seconds = time.monotonic() - began
        self.chapters.append((title, seconds))
        self.console.print(f"   [dim]{seconds:.1f} s (since the start: {time.monotonic() - self.started:.0f} s)[/dim]")

    def say(self, text: str) -> None:
        """One line of the story."""
        self.console.print(f"   {escape(text)}", highlight=False, soft_wrap=True)

    def show(self, table: Table) -> None:
        """A table."""
        self.console.print(table)

    def check(self, holds: bool, claim: str) -> None:
        """A claim that must hold; a broken one makes the demo end with exit code 1, after the rest was shown."""
        mark = "[green]✔[/green]" if holds else "[red]✘[/red]"
        self.console.print(f"   {mark} {escape(claim)}", highlight=False, soft_wrap=True)
        if not holds:
            self.broken.append(claim)

    @contextmanager
    def under_way(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Tells a pipeline run: give what this yields to it as `on_progress`."""
        with self.console.status("starting") as status:
            yield teller(self.console, status.update)
