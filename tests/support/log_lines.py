"""What stands in the log of a process that is not watched on a terminal: a JSON document a line."""

from __future__ import annotations

import json
from typing import Any


def documents(log: str) -> list[dict[str, Any]]:
    """Return the lines; what is none of the log's, such as a refused start, is not among them."""
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"time"')]


def messages(log: str) -> list[str]:
    """Return the sentences."""
    return [str(line["message"]) for line in documents(log)]


def last_words(log: str) -> list[str]:
    """Return why processes ended themselves."""
    return [message for message in messages(log) if message.startswith("FATAL ")]
