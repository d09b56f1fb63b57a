"""Real processes that kill -9 themselves at a chosen step on disk."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def dies_at(step: int, work: Callable[[], Any], more: tuple[tuple[Any, str], ...] = ()) -> bool:
    """Runs `work` in a process of its own that dies at its `step`-th step (from 1); False: it came to its end.

    Steps are writing a Parquet file (dies with half of it written), a flush, a rename, a deletion, and calls of the
    attributes `more`: pairs of an object and a name.
    """
    child = os.fork()
    if not child:
        try:
            _arm(step, [(pq, "write_table"), (os, "fsync"), (os, "replace"), (Path, "unlink"), *more])
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  a forked process must not go on as a second test run
            traceback.print_exc()
            os._exit(3)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _arm(step: int, calls: list[tuple[Any, str]]) -> None:
    left = [step]

    def armed(real: Any, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                if name == "write_table":
                    real(*args, **kwargs)
                    os.truncate(args[1], os.path.getsize(args[1]) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for owner, name in calls:
        setattr(owner, name, armed(getattr(owner, name), name))
