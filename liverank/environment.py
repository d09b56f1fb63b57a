"""The process environment that every entry point wants: no telemetry from any dependency."""

from __future__ import annotations

import os

# "true", not "1": MLflow compares with the word.
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


def silence_telemetry() -> None:
    """Turns telemetry off for this process and its children; a value the user has set stays."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
