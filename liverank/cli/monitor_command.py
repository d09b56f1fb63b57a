"""`liverank monitor`: judge live traffic, record the decision, start retraining where it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from liverank.cli.options import ConfigFile, Settings, overrides

if TYPE_CHECKING:
    from liverank.config import Config
    from liverank.errors import LiverankError
    from monitoring.decision import DecisionRecord
    from monitoring.trigger import Trigger


def monitor(
    file: ConfigFile = "",
    settings: Settings = [],  # noqa: B006  typer reads it, nothing changes it
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking until stopped, with the schedule.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Judge what is there, without waiting for a full window or late answers.")
    ] = False,
    no_trigger: Annotated[bool, typer.Option("--no-trigger", help="Judge and record, start no run.")] = False,
) -> None:
    """Judge each complete window of live traffic, and retrain when ranking suffers."""
    from liverank.config import load_config

    monitoring_ring()
    from liverank.store import open_store

    config = load_config(file or None, overrides(settings)).resolved()
    trigger = _trigger(config, off=no_trigger)
    store = open_store(config.store_place, bounds=config.store)
    try:
        if watch:
            _watch(config, store, trigger)
        else:
            _once(config, store, trigger, wait=not now)
    finally:
        store.close()


def monitoring_ring() -> None:
    """Says where this command runs, if the monitoring package is not importable here.

    Raises:
        ConfigError: it is not.
    """
    from importlib.util import find_spec

    from liverank.errors import ConfigError

    if find_spec("monitoring") is None:
        raise ConfigError("The package 'monitoring' is not at hand.", "Run this in a checkout or in the image.")


def _trigger(config: Config, *, off: bool) -> Trigger:
    if off:
        from monitoring.trigger import NoTrigger

        return NoTrigger()
    from pipelines.triggers import trigger_for

    return trigger_for(config, _progress)


def _once(config: Config, store: Any, trigger: Trigger, *, wait: bool) -> None:
    """Judges every complete window that has gathered; says what is missing where there is none."""
    from monitoring.loop import check, recorded
    from monitoring.models import RegistryModels

    models = RegistryModels(config.registry)
    record = check(config, store, models, _present, trigger, wait=wait)
    if not recorded(record):
        typer.echo(f"Nothing to judge: {record.reason}.")
        return
    _show(record)
    while record.window is not None and recorded(record := check(config, store, models, _present, trigger, wait=wait)):
        _show(record)


def _watch(config: Config, store: Any, trigger: Trigger) -> None:
    from monitoring.loop import watch
    from monitoring.models import RegistryModels
    from monitoring.stopping import Stopping

    stopping = Stopping()
    models = RegistryModels(config.registry)
    typer.echo(f"Watching {config.store_place}, a look every {config.monitoring.poll_seconds:g} s; Ctrl-C ends it.")
    watch(config, store, models, _present, trigger, on_decision=_show, on_problem=_complain, pause=stopping.pause)
    raise typer.Exit(128 + stopping.number)


def _present() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _show(record: DecisionRecord) -> None:
    from rich.console import Console

    from monitoring.show import detail

    Console().print(detail(record), highlight=False, soft_wrap=True)


def _complain(problem: LiverankError) -> None:
    typer.echo(f"Error: {problem}", err=True)


def _progress(event: dict[str, Any]) -> None:
    """One event of a local retraining run, as a line."""
    if event.get("event") == "step":
        typer.echo(f"   {event['step']}: {event['state']}", err=True)
    elif event.get("event") == "note":
        typer.echo(f"   {event.get('step', '')}: {event.get('text', '')}", err=True)
