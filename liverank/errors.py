"""Errors that a user can act on: one line that says what is wrong, one that says what to do."""

from __future__ import annotations


class LiverankError(Exception):
    """What went wrong and what to do about it; the CLI prints it without a traceback and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint


class ConfigError(LiverankError):
    """The configuration cannot be read or holds a key or value that has no meaning."""


class DataError(LiverankError):
    """A source cannot be read or does not follow the data contract."""


class StoreError(LiverankError):
    """The live store cannot be reached, or refuses to be read or written for now; nothing of the call was done."""


class OutputError(LiverankError):
    """What a command makes cannot be written where it should go."""


class BundleError(LiverankError):
    """A model bundle is missing, truncated, altered or of an unknown format."""


class TrainingError(LiverankError):
    """Training ended before the model was there: it diverged, or its processes or the job that runs them failed."""


class RegistryError(LiverankError):
    """The model registry does not answer or does not hold what was asked for."""


class ServingError(LiverankError):
    """The model server cannot start, be reached or take the new model."""


class PipelineError(LiverankError):
    """A pipeline step failed; the message names the step and its log."""


class StageStopped(LiverankError):
    """A stage did its work and its verdict is to stop (validation, say); the message says why."""
