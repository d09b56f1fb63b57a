"""A server's process gives memory back: shown in a process of its own, whose allocator nobody has used before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc only")

# Large blocks between small ones that stay: by itself glibc soon puts the large ones on the heap too, where the small
# ones keep them from being given back.
LEFT_MIB = """
import ctypes
import sys

from serving.allocator import give_back_holes, give_back_memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]


def resident():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def block(size):
    made = library.malloc(size)
    ctypes.memset(made, 1, size)
    return made


if sys.argv[1] == "chosen":
    assert give_back_memory()
before = resident()
library.free(block(16 * 2**20))
large = []
for _ in range(16):
    large.append(block(4 * 2**20))
    block(1000)
for made in large:
    library.free(made)
if sys.argv[1] == "trimmed":
    assert give_back_holes()
print(resident() - before)
"""


def left_mib(how: str, **environment: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_MIB, how],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return float(done.stdout)


def test_what_large_arrays_leave_goes_back_at_once() -> None:
    assert left_mib("by itself") > 50
    assert left_mib("chosen") < 10


def test_holes_are_given_back_on_request() -> None:
    assert left_mib("trimmed") < 10


@pytest.mark.parametrize(
    "setting",
    [
        {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864"},
    ],
)
def test_what_the_operator_has_set_stays(setting: dict[str, str]) -> None:
    assert left_mib("chosen", **setting) > 50
