"""All that a deployment holds of one customer, as one document: what the person may see, and take along."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.topics import TopicNames
from stream_app.audit.records import LogRecord
from stream_app.audit.traces import records_of
from stream_app.core.clock import NO_TIME, format_instant
from stream_app.core.customers import CustomerTable

COUNTS: Final = ("purchases", "refunds", "engagements")
INSTANTS: Final = (
    "first_at_ms",
    "first_purchased_at_ms",
    "purchased_at_ms",
    "ordered_at_ms",
    "engaged_at_ms",
)


async def gather(
    connection: KafkaConnection, names: TopicNames, customer_id: str, timezone: str, minor_per_major: int
) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    timezone
        Of the shop, whose days the row counts.
    minor_per_major
        Minor units of the base currency in a major one.

    Raises
    ------
    BrokerUnreachable
        If no broker answers.
    """
    topics = (*names.inputs, names.changelog, names.memberships, names.migrations, names.upcoming, names.dead_letters)
    found: dict[str, list[tuple[int, LogRecord]]] = {topic: [] for topic in topics}
    async for topic, partition, record in records_of(connection, names.group, topics, customer_id):
        found[topic].append((partition, record))
    memberships = _newest(found[names.memberships])
    migrations = [_value(record) for _, record in found[names.migrations] if record.value]
    explained = {each["segmentation"]: each for each in migrations}
    rows = _newest(found[names.changelog])
    row = rows.get(customer_id.encode())
    return {
        "customer_id": customer_id,
        "profile": None if row is None else describe_row(customer_id, row, timezone, minor_per_major),
        "memberships": [
            {**membership, "explanation": explained.get(membership["segmentation"], {}).get("explanation")}
            for membership in map(json.loads, memberships.values())
        ],
        "migrations": migrations,
        "notices": [_value(record) for _, record in found[names.upcoming] if record.value],
        "refused_records": [_value(record) for _, record in found[names.dead_letters]],
        "inputs": {
            topic: [
                {"partition": partition, "offset": record.offset, "record": _value(record)}
                for partition, record in found[topic]
                if record.value is not None
            ]
            for topic in names.inputs
        },
    }


def describe_row(customer_id: str, row: bytes, timezone: str, minor_per_major: int) -> dict[str, Any]:
    """Return what a row says of what a customer has done, and is."""
    table = CustomerTable(timezone=timezone)
    table.restore(customer_id, row)
    activity = table.activity[0]
    said: dict[str, Any] = {name: int(activity[name]) for name in COUNTS}
    said["revenue"] = int(activity["revenue_minor"]) / minor_per_major
    for name in INSTANTS:
        at_ms = int(activity[name])
        said[name.removesuffix("_ms")] = format_instant(at_ms) if abs(at_ms) < -NO_TIME else None
    return said | {"traits": {name: _plain(value) for name, value in table.traits_of(customer_id).items()}}


def _newest(records: Sequence[tuple[int, LogRecord]]) -> Mapping[bytes, bytes]:
    """Return the newest value of each key, of those that have one."""
    newest = {record.key: record.value for _, record in records}
    return {key: value for key, value in newest.items() if key is not None and value is not None}


def _value(record: LogRecord) -> Any:
    try:
        return json.loads(record.value or b"null")
    except ValueError:
        return (record.value or b"").decode("utf-8", "replace")


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, tuple | list) else value
