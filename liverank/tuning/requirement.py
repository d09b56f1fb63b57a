"""Whether the search's own library is at hand."""

from __future__ import annotations

from liverank.errors import ConfigError


def require_optuna() -> None:
    """Says what is missing before anything is imported that needs it.

    Raises:
        ConfigError: Optuna or Matplotlib is not installed.
    """
    from importlib.util import find_spec

    for package in ("optuna", "matplotlib"):
        if find_spec(package) is None:
            raise ConfigError(f"The search of settings needs {package}.", "Run: pip install 'liverank[tune]'")
