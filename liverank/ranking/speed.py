"""What a device can do: the ceiling that training is measured against."""

from __future__ import annotations

import time

import torch

SIDE = {"cpu": 1024, "cuda": 8192}
SECONDS = 0.3


def matrix_flops(device: torch.device) -> float:
    """Floating-point operations a second of a large square matrix product, in the precision that autocast gives it."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device) for _ in range(2))
    torch.matmul(left, right)
    _wait(device)
    started, times = time.perf_counter(), 0
    while times == 0 or time.perf_counter() - started < SECONDS:
        torch.matmul(left, right)
        times += 1
        _wait(device)
    return 2 * side**3 * times / (time.perf_counter() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
