"""Where the candidates stand when no server ordered them: as they came, but for what the rules pin and exclude."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any


def arranged(item_ids: Sequence[str], rules: Mapping[str, Any]) -> list[str]:
    """The items in their order, pinned ones at their positions, excluded ones (pinned or not) left out.

    As the server does it: pins with a position take theirs first, the others the first places that are left, in the
    order given; a place that is taken, or behind the end, becomes the next free one, or the last. What a server would
    refuse, and so may have, has no effect.
    """
    excluded = {item for item in _listed(rules.get("exclude")) if isinstance(item, str)}
    shown = [item for item in item_ids if item not in excluded]
    pins = _pins(_listed(rules.get("pin")), frozenset(shown))
    others = [item for item in shown if item not in pins]
    length = len(pins) + len(others)
    placed: dict[int, str] = {}
    first = 1
    for item, position in sorted(pins.items(), key=lambda pin: pin[1] is None):
        place = _free(placed, position or first, length)
        placed[place] = item
        if position is None:
            first = place + 1
    rest = iter(others)
    return [placed[place] if place in placed else next(rest) for place in range(1, length + 1)]


def _pins(given: Iterable[Any], shown: Container[str]) -> dict[str, int | None]:
    """Pinned item -> its position, in the order given."""
    pins: dict[str, int | None] = {}
    for pin in given:
        item = pin if isinstance(pin, str) else _field(pin, "item_id")
        position = _field(pin, "position")
        if isinstance(item, str) and item in shown:
            pins.setdefault(item, position if isinstance(position, int) and position > 0 else None)
    return pins


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()


def _field(pin: Any, name: str) -> Any:
    return pin.get(name) if isinstance(pin, Mapping) else getattr(pin, name, None)


def _free(taken: Container[int], wanted: int, length: int) -> int:
    place = min(wanted, length)
    while place in taken and place < length:
        place += 1
    while place in taken:
        place -= 1
    return place
