"""An endpoint that shows the webhooks it is sent; `docker compose logs --follow receiver`."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from sys import argv


class Receiver(BaseHTTPRequestHandler):
    """Takes everything and says what it was."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the health check."""
        self._answer(200)

    def do_POST(self) -> None:
        """Show a migration."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        migration = body.get("data", body)
        sentence = migration.get("explanation", {}).get("sentence", "")
        print(self.headers.get("webhook-id"), migration.get("customer_id"), sentence, flush=True)
        self._answer(204)

    def log_message(self, *_: object) -> None:
        """Say nothing of the requests themselves."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()


ThreadingHTTPServer(("", int(argv[1])), Receiver).serve_forever()
