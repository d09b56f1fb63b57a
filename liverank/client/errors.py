"""What may go wrong between a caller and the server, each with a type of its own."""

from __future__ import annotations

from liverank.errors import LiverankError


class ClientError(LiverankError):
    """A call that got no answer it could use."""


class RefusedError(ClientError):
    """The server refuses the call (status 400 to 499): sending it again would not help."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"refused ({status}): {message}")
        self.status = status


class UnavailableError(ClientError):
    """The server cannot be reached, breaks off, or says that it cannot answer now (status 500 and above)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """None where no answer came."""


class DeadlineError(UnavailableError):
    """The deadline passed before there was an answer."""


class AnswerError(UnavailableError):
    """What came back is not what a liverank server answers."""


class CircuitOpenError(UnavailableError):
    """Calls failed again and again: for a while none is made."""
