"""Signs by the Standard Webhooks scheme (https://www.standardwebhooks.com), with its own library."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook

from stream_app.webhooks.messages import Message


class Signer:
    """Signs messages.

    Parameters
    ----------
    keys
        Each signs, so that receivers can change from one to the next in their own time.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._webhooks = [Webhook(key) for key in keys]

    def headers(self, message: Message, sent_at: datetime) -> dict[str, str]:
        """Return the headers that prove who sent a message, and when (UTC, to the second)."""
        signatures = [webhook.sign(message.id, sent_at, message.body) for webhook in self._webhooks]
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
