"""Settings with which the synthetic world takes after a kind of real data; docs/synthetic.md compares the shapes."""

from __future__ import annotations

from typing import Any, Final

from liverank.errors import ConfigError

PRESETS: Final[dict[str, dict[str, Any]]] = {
    "shop": {},
    "reviews": {},
}


def preset(name: str) -> dict[str, Any]:
    """The settings of a preset; none for no name.

    Raises:
        ConfigError: there is no such preset.
    """
    if not name:
        return {}
    if name not in PRESETS:
        raise ConfigError(f"There is no preset {name}.", f"There are {', '.join(PRESETS)}.")
    return dict(PRESETS[name])
