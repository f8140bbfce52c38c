"""How every client of Kafka is reached: the one place that turns a deployment's address into a client's options."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KafkaConnection:
    """Where the brokers are.

    Parameters
    ----------
    bootstrap_servers
        Brokers to begin with, `host:port`, separated by commas.
    client_id
        Name under which the brokers' logs and quotas know this process.
    """

    bootstrap_servers: str
    client_id: str = "stream-segmenter"

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments that any aiokafka client takes, whether consumer, producer or admin."""
        return {"bootstrap_servers": self.bootstrap_servers, "client_id": self.client_id}


def quieten_clients(level: int = logging.WARNING) -> None:
    """Let aiokafka's loggers pass `level` and above alone.

    Below `INFO` it builds a log record for each send, which cost 10–15 % of the throughput.
    """
    logging.getLogger("aiokafka").setLevel(level)


class Throttle(logging.Filter):
    """Lets a warning of the clients through once in a while: in an outage they write hundreds a second.

    Parameters
    ----------
    interval_seconds
        Between two messages of the same kind.
    """

    def __init__(self, interval_seconds: float = 10.0) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._next: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the message."""
        if not record.name.startswith(("aiokafka", "faust", "mode")):
            return True
        kind = record.name, record.msg
        if record.created < self._next.get(kind, 0.0):
            return False
        self._next[kind] = record.created + self._interval_seconds
        return True
