"""What a process took of the machine's memory."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mib() -> float:
    """Peak resident memory of this process since it was started, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # What getrusage says begins with the memory of whoever forked.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, others in KiB.
    return used / (2**20 if sys.platform == "darwin" else 2**10)
