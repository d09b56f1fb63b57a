"""The command line: the outermost ring. Every command's imports are inside it, so that help answers at once."""

from __future__ import annotations

from liverank.cli.main import app, main

__all__ = ["app", "main"]
