"""Listening on an address; where that is impossible, the error names the setting or option that asked for it."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass

from stream_app.errors import AddressInUse, ConfigurationError


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Parameters
    ----------
    host, port
        Port 0 means any free one to an API, and none at all to a health server.
    origin
        What asked for the port, for the message: `setting api.port`, say.
    """

    host: str
    port: int
    origin: str

    def listen(self) -> socket.socket:
        """Return a socket that listens.

        Raises
        ------
        AddressInUse
            If another process listens there.
        ConfigurationError
            If this host has no such address, or this user may not have it.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            reason = error.args[-1] if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            kind = AddressInUse if error.errno == errno.EADDRINUSE else ConfigurationError
            raise kind(f"{self.origin}: cannot listen on {self.host}:{self.port} ({reason})") from error

    def check(self) -> None:
        """Refuse now what could not be listened on later; port 0 asks for nothing.

        Raises
        ------
        AddressInUse, ConfigurationError
            See `listen`.
        """
        if self.port:
            self.listen().close()
