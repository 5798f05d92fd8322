"""Is somebody listening? One connection, bounded."""

import socket

_PATIENCE = 1.0


def answers(address: str, port: int, greeting: bytes = b"") -> bool:
    """Whether the port accepts a connection and, where a greeting is expected, begins with it."""
    try:
        with socket.create_connection((address, port), timeout=_PATIENCE) as connection:
            return connection.recv(len(greeting)) == greeting if greeting else True
    except OSError:
        return False
