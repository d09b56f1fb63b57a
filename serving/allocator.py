"""How the C library keeps the server's memory: what large arrays leave goes back to the system at once."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

LARGE_BYTES: Final = 2**22
"""Arrays from here on have pages of their own. A list's arrays are smaller (2,000 candidates of 384 dimensions take
2.9 MiB), and so no request has to wait for pages; those of a catalogue are larger."""
ARENAS: Final = 2
"""For all threads together: one computes at a time."""
# Parameters of mallopt, from glibc's malloc.h, and the environment variables by which an operator sets them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_CHOSEN: Final = (
    (_ARENA_MAX, ARENAS, "MALLOC_ARENA_MAX", "arena_max"),
    (_MMAP_THRESHOLD, LARGE_BYTES, "MALLOC_MMAP_THRESHOLD_", "mmap_threshold"),
    (_TRIM_THRESHOLD, LARGE_BYTES, "MALLOC_TRIM_THRESHOLD_", "trim_threshold"),
)


def give_back_memory() -> bool:
    """Has glibc keep little of what is freed; whether it does, which no other C library can.

    By itself glibc raises both thresholds with each large array that is freed, up to 32 and 64 MiB: catalogues and
    embeddings, which changed texts and swaps make anew, then share the heap with small objects and leave holes
    in it, and each thread has a heap of its own. What an operator has set in the environment stays. Called before the
    threads start.
    """
    library = _glibc()
    if library is None:
        return False
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    taken = True
    for parameter, value, variable, tunable in _CHOSEN:
        if variable not in os.environ and f"glibc.malloc.{tunable}=" not in tunables:
            taken &= library.mallopt(parameter, value) == 1
    return taken


def give_back_holes() -> bool:
    """Returns the free pages between what is in use to the system; whether there were any. Takes some milliseconds, in
    which other threads may wait for memory: for when a model has gone.
    """
    library = _glibc()
    return library is not None and library.malloc_trim(0) == 1


def _glibc() -> ctypes.CDLL | None:
    """The process' C library, where it is glibc."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
