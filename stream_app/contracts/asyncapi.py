"""The AsyncAPI 3.0 document of all topics: addresses, keys, clean-up, headers; payloads by reference to the schemas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from stream_app.contracts.compatibility import Direction

KAFKA_BINDING_VERSION: Final = "0.5.0"


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic, but for its payload.

    Parameters
    ----------
    topic
        Name of the topic and of its contract.
    version
        Of the contract; raised by an incompatible change.
    direction
        Whether the segmenter reads or writes it.
    title, summary
        For readers.
    key
        Description of the record's key.
    cleanup
        `delete`: records expire; `compact`: the last record of each key stays.
    headers
        Description by header name.
    """

    topic: str
    version: int
    direction: Direction
    title: str
    summary: str
    key: str
    cleanup: Literal["delete", "compact"] = "delete"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def schema_file(self) -> str:
        """Name of the file of the payload's schema."""
        return f"{self.topic}.v{self.version}.json"


def asyncapi_document(channels: Iterable[Channel]) -> dict[str, Any]:
    """Return the document, ready to be written as YAML."""
    channels = tuple(channels)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Customer segmenter",
            "version": "1.0.0",
            "description": "Purchases and engagements in, segment migrations out.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.topic: _channel(channel) for channel in channels},
        "operations": {
            f"{'receive' if channel.direction == 'input' else 'send'}-{channel.topic}": {
                "action": "receive" if channel.direction == "input" else "send",
                "channel": {"$ref": f"#/channels/{channel.topic}"},
            }
            for channel in channels
        },
        "components": {"messages": {channel.topic: _message(channel) for channel in channels}},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.topic,
        "title": channel.title,
        "description": channel.summary,
        "messages": {channel.topic: {"$ref": f"#/components/messages/{channel.topic}"}},
        "bindings": {
            "kafka": {
                "topicConfiguration": {"cleanup.policy": [channel.cleanup]},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _message(channel: Channel) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": channel.topic,
        "title": channel.title,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{channel.schema_file}"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": channel.key},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }
    if channel.headers:
        message["headers"] = {
            "type": "object",
            "required": [name for name, _ in channel.headers],
            "properties": {name: {"type": "string", "description": text} for name, text in channel.headers},
        }
    return message
