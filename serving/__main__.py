"""`python -m serving`: the container's entry point, with the options that a KServe ServingRuntime passes."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from liverank.config import Config, load_config, parse_settings
from liverank.environment import silence_telemetry
from liverank.errors import LiverankError


def main() -> int:
    """Serves until a signal; 0 is never returned, a server ends by 130, 143 or an error."""
    silence_telemetry()
    signal.signal(signal.SIGTERM, _terminate)
    options = _options()
    try:
        from serving.lifecycle import Lifecycle
        from serving.server import run

        config = _config(options)
        lifecycle = Lifecycle(config)
        number = run(
            config,
            bundle=options.bundle,
            name=options.model_name,
            on_loading=lifecycle.loading,
            on_ready=lifecycle.ready,
        )
        lifecycle.stopped()
    except LiverankError as problem:
        print(f"Error: {problem}", file=sys.stderr)  # noqa: T201  the console is where an operator reads it
        return problem.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 128 + number


def _terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", default="", help="configuration file")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="set one key")
    parser.add_argument("--bundle", "--model_dir", type=Path, help="bundle folder instead of the registry's champion")
    parser.add_argument("--model_name", default="", help="name in KServe's paths")
    parser.add_argument("--http_port", type=int, help="REST port")
    parser.add_argument("--grpc_port", type=int, help="gRPC port")
    parser.add_argument("--workers", type=int, choices=[1], default=1, help="always 1: scale by replicas")
    return parser.parse_args()


def _config(options: argparse.Namespace) -> Config:
    values = parse_settings(options.settings)
    for name in ("http_port", "grpc_port"):
        if getattr(options, name) is not None:
            values[f"serving.{name}"] = getattr(options, name)
    return load_config(options.config or None, values)


if __name__ == "__main__":
    sys.exit(main())
