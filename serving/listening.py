"""The socket that a server of ours listens on."""

from __future__ import annotations

import socket

from liverank.config import ServingConfig
from liverank.errors import ServingError


def listen(config: ServingConfig) -> socket.socket:
    """A socket bound to the REST port; it accepts nothing before the model is ready.

    Raises:
        ServingError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.http_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as problem:
        raise ServingError(
            f"The server cannot listen on {config.host}:{config.http_port}: {problem.strerror}.",
            "Another process may have the port; set serving.http_port (0 for any).",
        ) from problem
    return listener
