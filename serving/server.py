"""From a configuration to a running server, and back: everything that starts is stopped here."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from liverank.config import Config, StoreConfig
from liverank.config.store_place import is_redis
from liverank.errors import ConfigError
from liverank.store import open_store
from serving.access import Access
from serving.allocator import give_back_memory
from serving.announcement import Announcement, withdraw
from serving.discretion import discreet_logs, on_loop_problem
from serving.known_users import Route
from serving.listening import listen
from serving.logs import take_over_loggers, write_logs
from serving.metrics import Metrics
from serving.model import ChampionSource, FolderSource, ModelSource
from serving.playground import Playground, with_exploration
from serving.routes import Routes
from serving.security import required_access
from serving.service import RankingService
from serving.tracing import Traces
from serving.variants import Sources

SWITCH_SECONDS = 0.0005
"""How long the model's thread may keep the interpreter while a request waits to be read; Python's 5 ms would show."""


def run(
    config: Config,
    bundle: Path | None = None,
    name: str = "",
    source: ModelSource | None = None,
    on_ready: Callable[[Announcement], object] = lambda announcement: None,
    on_loading: Callable[[], object] = lambda: None,
    sources: Sources | None = None,
) -> int:
    """Serves until SIGINT or SIGTERM and returns the signal's number.

    Args:
        config: the whole configuration; `serving` is ours, `registry` says where the champion is.
        bundle: a bundle folder to serve in place of the registry's champion.
        name: the model's name in KServe's paths; default the registered model's.
        source: where the model comes from, in place of both.
        on_ready: called once requests are answered.
        on_loading: called before the model is loaded, once token and port are there.
        sources: where the models of an experiment come from, by reference, in place of the registry.

    Raises:
        ServingError: a port is taken, or there is no token where one is needed.
        LiverankError: there is no champion, its bundle is damaged, or the store cannot be opened.
    """
    tokens = required_access(config.serving)
    give_back_memory()
    discreet_logs()
    write_logs(config.serving)
    if config.serving.playground:
        config = with_exploration(config)
    _limit_threads(config.serving.threads)
    listener = listen(config.serving)
    store = open_store(config.store_place, bounds=_bounds(config))
    traces: Traces | None = None
    try:
        metrics = Metrics()
        if config.serving.traces_endpoint:
            traces = Traces(config.serving.traces_endpoint, metrics.untraced.inc)
        on_loading()
        model = source or (FolderSource(bundle) if bundle else ChampionSource(config.resolved().registry))
        service = RankingService(config, store, model, metrics, sources=sources)
        played = Playground(service, store, config, metrics).routes if config.serving.playground else ()
        called = name or config.registry.model_name
        host, routes = _assemble(config, service, metrics, called, tokens, listener, played, traces)
        take_over_loggers()
        _limit_threads(config.serving.threads)
        sys.setswitchinterval(SWITCH_SECONDS)
        # What is loaded now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        return _run(_serve(config, service, host, routes, listener, on_ready))
    finally:
        if traces is not None:
            traces.close()
        store.close()
        listener.close()


def _bounds(config: Config) -> StoreConfig:
    """What a store in Redis keeps.

    Raises:
        ConfigError: it keeps fewer events of a user than a ranking reads.
    """
    kept, read = config.store.history_events, config.serving.history_length
    if is_redis(config.store_place) and kept < read:
        raise ConfigError(f"store.history_events is {kept} and serving.history_length {read}.", "Set it to as many.")
    return config.store


async def _serve(
    config: Config,
    service: RankingService,
    host: Any,
    routes: Routes,
    listener: socket.socket,
    on_ready: Callable[[Announcement], object],
) -> int:
    def announce(grpc_port: int) -> Announcement:
        address, port = _reachable(config.serving.host), listener.getsockname()[1]
        said = Announcement(
            f"http://{address}:{port}", f"{address}:{grpc_port}", os.getpid(), service.models.champion.version
        )
        said.write(config.workspace_path)
        return said

    def ready(grpc_port: int) -> None:
        routes.on_swap = lambda: announce(grpc_port)
        on_ready(announce(grpc_port))

    asyncio.get_running_loop().set_exception_handler(on_loop_problem)
    following = asyncio.create_task(service.models.follow_items())
    try:
        return await host.serve(ready)
    finally:
        following.cancel()
        withdraw(config.workspace_path, os.getpid())
        await service.close()


def _assemble(
    config: Config,
    service: RankingService,
    metrics: Metrics,
    name: str,
    tokens: Access,
    listener: socket.socket,
    more: Iterable[Route] = (),
    traces: Traces | None = None,
) -> tuple[Any, Routes]:
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        from serving.host import Host
        from serving.predictor import Predictor
    finally:
        sys.argv = arguments
    host = Host(Predictor(name, service, metrics), config.serving, listener, traces)
    routes = Routes(service, metrics, name, more)
    host.prepare(routes, tokens.counted_in(metrics), metrics)
    return host, routes


def _limit_threads(count: int) -> None:
    """Holds the numeric libraries to `count` threads: for a list's few multiplications, waking others costs more.

    Called before the model is loaded, for what reads the environment then, and after, for what came with it.
    """
    if not count:
        return
    import threadpoolctl

    os.environ.setdefault("OMP_NUM_THREADS", str(count))
    threadpoolctl.threadpool_limits(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def _run(serving: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(serving)
