"""A real HTTP endpoint that can fail, hang, ask for patience, and die."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from tests.support.processes import free_port

HANG: Final = 0
"""Instead of a status: nothing is answered, until the receiver ends."""


@dataclass(frozen=True)
class Request:
    """What arrived, and what it was answered with."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    status: int

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def move(self) -> tuple[str, int]:
        """Customer and sequence of a CloudEvent's migration."""
        data = self.event["data"]
        return data["customer_id"], data["sequence"]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_endless: bool = False


Behaviour = Callable[[str, dict[str, Any]], Reply]
"""Takes the message's id and its event."""


def accept(_: str, __: dict[str, Any]) -> Reply:
    return Reply(204)


class Receiver:
    """Listens on a port of 127.0.0.1 that it keeps, and notes every request; entered, it listens.

    Parameters
    ----------
    behaviours
        By path; others are answered with 204.
    tls
        For HTTPS.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.requests: list[Request] = []
        self._behaviours = dict(behaviours or {})
        self._tls = tls
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._released = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def accepted(self, path: str) -> list[Request]:
        """Return what was answered with success, in the order of the answers."""
        return [request for request in list(self.requests) if request.path == path and 200 <= request.status < 300]

    def start(self) -> None:
        receiver = self
        self._released = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                pass  # connections break off here all the time

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Die: nobody listens any more, and what is under way gets no answer."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        released = self._released
        if released.is_set():  # a connection that outlived the server
            handler.close_connection = True
            return
        body = handler.rfile.read(int(handler.headers["content-length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            behave = self._behaviours.get(handler.path, accept)
            reply = behave(headers["webhook-id"], json.loads(body))
            self.requests.append(Request(handler.path, headers, body, time.time(), reply.status))
        if reply.status == HANG:
            released.wait(30)
            handler.close_connection = True
            return
        with suppress(OSError):
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            if reply.is_endless:
                handler.end_headers()
                while not released.is_set():
                    handler.wfile.write(b"x" * 65_536)
            handler.send_header("content-length", str(len(reply.body)))
            handler.end_headers()
            handler.wfile.write(reply.body)
