"""What a device can do, and what a process took of its memory."""

from __future__ import annotations

import time

import torch

from liverank.errors import ConfigError

SIDE = {"cpu": 1024, "cuda": 8192}
SECONDS = 0.3


def pick_device(wanted: str, local: int = 0) -> torch.device:
    """The device to train on; `auto` is a GPU when there is one, the `local`-th.

    Raises:
        ConfigError: a GPU is wanted and there is none, or there are fewer than processes.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError("training.device is cuda, but torch finds no GPU.", "Set it to auto or cpu.")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    if local >= torch.cuda.device_count():
        raise ConfigError(
            f"Process {local} of this machine finds only {torch.cuda.device_count()} GPUs.", "Start one process a GPU."
        )
    return torch.device("cuda", local)


def matrix_flops(device: torch.device) -> float:
    """Floating-point operations a second of a large square matrix product, in the precision that autocast gives it."""
    side, kind = SIDE[device.type], device.type
    # Cast beforehand: what training multiplies mostly is.
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    torch.matmul(left, right)
    wait(device)
    started, times = time.perf_counter(), 0
    while times == 0 or time.perf_counter() - started < SECONDS:
        torch.matmul(left, right)
        times += 1
        wait(device)
    return 2 * side**3 * times / (time.perf_counter() - started)


def wait(device: torch.device) -> None:
    """Returns once a GPU has done all it was given: before that a clock says nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gpu_mib(device: torch.device) -> float:
    """Peak memory that torch held on a GPU, in MiB; 0 for a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
