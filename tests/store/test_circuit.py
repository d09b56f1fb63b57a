from __future__ import annotations

import logging

import pytest

from liverank.errors import StoreError
from liverank.store.circuit import CircuitBreaker, Unreachable


class Scene:
    """A circuit on a clock that stands still, and a store that answers or not."""

    def __init__(self) -> None:
        self.now, self.up, self.asked = 0.0, True, 0
        self.circuit = CircuitBreaker(1.0, lambda: self.now)

    def work(self) -> int:
        self.asked += 1
        if not self.up:
            raise Unreachable("nobody there.")
        return self.asked

    def call(self) -> int:
        return self.circuit.call(self.work)

    def lose(self) -> None:
        self.up = False
        with pytest.raises(Unreachable):
            self.call()


def test_a_lost_store_is_asked_once_a_second() -> None:
    scene = Scene()
    assert scene.call() == 1
    scene.lose()
    for _ in range(5):
        with pytest.raises(Unreachable, match="nobody there"):
            scene.call()
    assert scene.asked == 2
    scene.now = 1.5
    for _ in range(5):
        with pytest.raises(Unreachable):
            scene.call()
    assert scene.asked == 3


def test_it_is_back_with_the_first_answer() -> None:
    scene = Scene()
    scene.lose()
    scene.now, scene.up = 1.0, True
    assert [scene.call() for _ in range(3)] == [2, 3, 4]


def test_one_call_tries_while_the_others_are_refused() -> None:
    scene = Scene()
    scene.lose()
    scene.now, scene.up = 1.0, True

    def slow() -> int:
        with pytest.raises(Unreachable):
            scene.call()
        return 7

    assert scene.circuit.call(slow) == 7
    assert scene.asked == 1


def test_a_refusal_is_an_answer() -> None:
    scene = Scene()
    scene.lose()
    scene.now, scene.up = 1.0, True

    def refuse() -> int:
        raise StoreError("full.")

    with pytest.raises(StoreError, match="full"):
        scene.circuit.call(refuse)
    assert scene.call() == 2


def test_the_log_tells_of_the_loss_and_of_the_return_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    with caplog.at_level(logging.WARNING):
        for second in range(5):
            scene.now = float(second)
            scene.lose()
        scene.now, scene.up = 5.0, True
        scene.call()
        scene.call()
    assert [record.message for record in caplog.records] == ["nobody there.", "The live store answers again."]
