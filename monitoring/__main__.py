"""`python -m monitoring`: the monitor where no pipeline is installed; it judges and records, and starts nothing.

`liverank monitor` is the same with a trigger.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from datetime import UTC, datetime
from types import FrameType

from liverank.config import load_config
from liverank.environment import silence_telemetry
from liverank.errors import LiverankError
from monitoring.decision import DecisionRecord
from monitoring.stopping import Stopping

LOG = logging.getLogger("monitoring")


def main(arguments: list[str] | None = None) -> int:
    """Runs the monitor; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m monitoring", description="Judge live traffic and record decisions."
    )
    parser.add_argument(
        "--config", "-c", default="", help="configuration file (default: liverank.yaml, if there is one)"
    )
    parser.add_argument("--watch", action="store_true", help="go on looking until stopped")
    parser.add_argument("--now", action="store_true", help="judge what is there without waiting for a full window")
    given = parser.parse_args(arguments)
    silence_telemetry()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(given)
    except LiverankError as problem:
        LOG.error("Error: %s", problem)
        return problem.exit_code
    except KeyboardInterrupt:
        return 130


def _run(given: argparse.Namespace) -> int:
    from liverank.store import open_store
    from monitoring.loop import check, watch
    from monitoring.models import RegistryModels
    from monitoring.trigger import NoTrigger

    config = load_config(given.config or None).resolved()
    store = open_store(config.store_place, bounds=config.store)
    models, trigger = RegistryModels(config.registry), NoTrigger()
    try:
        if not given.watch:
            _say(check(config, store, models, _now, trigger, wait=not given.now))
            return 0
        stopping = Stopping()
        watch(config, store, models, _now, trigger, on_decision=_say, on_problem=_complain, pause=stopping.pause)
        return 128 + stopping.number
    finally:
        store.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _say(record: DecisionRecord) -> None:
    LOG.info("%s: %s (%s): %s", record.id, record.action, record.rule, record.reason)


def _complain(problem: LiverankError) -> None:
    LOG.error("Error: %s", problem)


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
