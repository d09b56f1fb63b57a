"""What a server says of its start and its end: lines for people, or records among the other JSON lines."""

from __future__ import annotations

import logging
import sys

from liverank.config import Config
from liverank.store import store_exists
from serving.announcement import Announcement
from serving.logs import LIFECYCLE

_log = logging.getLogger(LIFECYCLE)


class Lifecycle:
    """Says on stderr what a server does; make it before the server opens, and with that makes, its live store."""

    def __init__(self, config: Config) -> None:
        self._in_records = config.serving.log_format == "json"
        self._has_playground = config.serving.playground
        self._is_new = not store_exists(config.store_place)

    def loading(self) -> None:
        """Before the model is loaded."""
        if self._is_new:
            self._say("The live store is new; `liverank backfill` fills it with what users did before.")
        self._say("Loading the model ...")

    def ready(self, server: Announcement) -> None:
        """Once requests are answered."""
        end = "" if self._in_records else " Ctrl-C stops it."
        self._say(f"Version {server.version} serves at {server.url} (gRPC {server.grpc}).{end}")
        if self._has_playground:
            self._say(f"The playground: {server.url}/playground")

    def stopped(self) -> None:
        """At the end, after a signal."""
        self._say("Stopped; every accepted record is kept.")

    def _say(self, text: str) -> None:
        if self._in_records:
            _log.info("%s", text)
        else:
            print(text, file=sys.stderr, flush=True)  # noqa: T201  a person waits for it
