"""A port on the loopback address: free now, and likely to stay so."""

from __future__ import annotations

import errno
import secrets
import socket

from envport_registry.runner.errors import PortTakenError, RunnerError

LOOPBACK = "127.0.0.1"

_FIRST, _COUNT = 20_000, 12_000
"""Below the ports that systems hand out to outgoing connections (Linux: from 32768), so that a server that is started
again finds its port free."""


def choose_port(asked: int) -> int:
    """The port that was asked for, or a free one for 0.

    Raises:
        PortTakenError: something listens on the port that was asked for.
    """
    if asked:
        if not _is_free(asked):
            raise port_taken(asked)
        return asked
    for _ in range(100):
        port = _FIRST + secrets.randbelow(_COUNT)
        if _is_free(port):
            return port
    raise RunnerError(
        f"100 ports tried from {_FIRST} to {_FIRST + _COUNT} on {LOOPBACK}, none is free: choose one by --port"
    )


def port_taken(port: int) -> PortTakenError:
    """The error for a port that is in use."""
    return PortTakenError(
        f"port {port} on {LOOPBACK} is in use: choose another by --port, or leave --port out for a free one"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            # Anything else, as a port that only root may use, is for whoever binds it to say.
            return error.errno != errno.EADDRINUSE
    return True
