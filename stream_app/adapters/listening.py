"""Listening on an address; one that cannot be had is told by the name of what asked for it."""

from __future__ import annotations

import os
import socket

from stream_app.errors import ConfigurationError


def listen(host: str, port: int, origin: str) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host, port
        Address; port 0 takes a free one.
    origin
        Where the port was asked for, for the message: `setting api.port`, say.

    Raises
    ------
    ConfigurationError
        If the address is taken, or none of this host.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.args[-1] if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ConfigurationError(f"{origin}: nothing can listen on {host}:{port} ({reason})") from error


def require_address(host: str, port: int, origin: str) -> None:
    """Refuse now what could not be listened on later; port 0 asks for nothing.

    Raises
    ------
    ConfigurationError
        See `listen`.
    """
    if port:
        listen(host, port, origin).close()
