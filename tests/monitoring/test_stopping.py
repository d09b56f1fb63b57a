"""A signal whose exception is swallowed still ends the watch."""

from __future__ import annotations

import os
import signal
import time

import pytest

from monitoring.stopping import Stopping


@pytest.fixture(autouse=True)
def handlers_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_signal_it_waits():
    began = time.monotonic()
    assert Stopping().pause(0.05)
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_swallowed_signal_is_remembered(number):
    def swallowed_later(number, frame):
        raise KeyboardInterrupt

    signal.signal(number, swallowed_later)
    stopping = Stopping()
    try:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
    except KeyboardInterrupt:
        pass  # as an import or a finaliser would
    assert not stopping.pause(60)
    assert stopping.number == number
