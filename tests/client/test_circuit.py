from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from liverank.client import Backoff, CircuitBreaker
from liverank.client.retrying import Deadline, retry_after


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> CircuitBreaker:
    circuit = CircuitBreaker(3, 10, clock)
    for _ in range(3):
        assert circuit.allows()
        circuit.failed()
    return circuit


def test_failures_in_a_row_open_it(clock: Clock) -> None:
    circuit = CircuitBreaker(3, 10, clock)
    for outcome in (circuit.failed, circuit.failed, circuit.succeeded, circuit.failed, circuit.failed):
        outcome()
    assert circuit.state == "closed"
    circuit.failed()
    assert circuit.state == "open"
    assert not circuit.allows()


def test_after_a_while_one_call_tries_and_closes_it(clock: Clock, opened: CircuitBreaker) -> None:
    clock.now += 9.9
    assert not opened.allows()
    clock.now += 0.1
    assert opened.state == "half-open"
    assert opened.allows()
    assert not opened.allows(), "one at a time"
    assert opened.state == "half-open"
    opened.succeeded()
    assert opened.state == "closed"
    assert opened.allows()
    assert opened.allows()


def test_a_try_that_fails_opens_it_again(clock: Clock, opened: CircuitBreaker) -> None:
    clock.now += 10
    assert opened.allows()
    opened.failed()
    assert opened.state == "open"
    clock.now += 9.9
    assert not opened.allows()


def test_a_try_that_never_ended_is_followed_by_another(clock: Clock, opened: CircuitBreaker) -> None:
    clock.now += 10
    assert opened.allows()
    clock.now += 10
    assert opened.allows()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 1), (1, 0), (1, math.nan)])
def test_settings_that_mean_nothing(failures: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="circuit breaker"):
        CircuitBreaker(failures, seconds)


def test_waits_grow_up_to_a_limit_and_are_drawn_from_zero() -> None:
    backoff = Backoff(first=1, most=8)
    for retry, most in enumerate((1, 2, 4, 8, 8)):
        waits = [backoff.wait(retry, 0) for _ in range(300)]
        assert 0 <= min(waits) < most / 10
        assert most * 0.9 < max(waits) <= most
        assert abs(sum(waits) / 300 - most / 2) < most / 8
        assert min(backoff.wait(retry, 0.7) for _ in range(100)) >= 0.7


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("3") == 3
    assert [retry_after(value) for value in (None, "", "soon", "-1")] == [0, 0, 0, 0]
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < retry_after(soon) <= 60
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after("Wed, 21 Oct 99999999999999999999 07:28:00 GMT") == 0


@pytest.mark.parametrize("milliseconds", [0, -1, math.nan])
def test_a_deadline_lies_ahead(milliseconds: float) -> None:
    with pytest.raises(ValueError, match="deadline_ms"):
        Deadline(milliseconds)
