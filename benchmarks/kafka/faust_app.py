"""Faust as its documentation does it: records, a table, agents over streams, `send` for outputs.

The same rule as the loop by hand, and Faust's own changelog. It stops counting when all events were processed, which
spares it the last commit.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime

import faust

from benchmarks.kafka.cluster import PARTITIONS
from benchmarks.kafka.contender import mark, parse_arguments, segment_of

options = parse_arguments()
app = faust.App(
    options.outputs + "app",
    broker=f"kafka://{options.bootstrap}",
    store="memory://",
    topic_partitions=PARTITIONS,
    datadir=tempfile.mkdtemp(),
)


class Purchase(faust.Record, coerce=True):
    """An order."""

    event_id: str
    customer_id: str
    occurred_at: datetime
    total: str


class Engagement(faust.Record, coerce=True):
    """Anything else."""

    event_id: str
    customer_id: str
    occurred_at: datetime
    type: str


class Customer(faust.Record):
    """A row."""

    orders: int = 0
    engagements: int = 0
    revenue_minor: int = 0
    last_at: float = 0.0
    segment: str | None = None


class Migration(faust.Record):
    """A change of segment."""

    customer_id: str
    from_segment: str | None
    to_segment: str
    effective_at: datetime
    cause: dict


purchases, engagements = (
    app.topic(topic, key_type=bytes, value_type=record, partitions=PARTITIONS)
    for topic, record in zip(options.topics, (Purchase, Engagement), strict=True)
)
migrations = app.topic(options.outputs + "migrations", key_type=bytes, value_type=Migration, partitions=PARTITIONS)
customers = app.Table("customers", key_type=str, value_type=Customer, partitions=PARTITIONS)
processed = 0


async def assess(customer: Customer, event: Purchase | Engagement) -> None:
    """Store the changed row, and send a migration if the segment changed."""
    global processed
    if not processed:
        mark("fetched")
    at = event.occurred_at.timestamp()
    gap_seconds = at - customer.last_at if customer.last_at else 0.0
    customer.last_at = max(at, customer.last_at)
    segment = segment_of(customer.orders, customer.revenue_minor, gap_seconds)
    before, customer.segment = customer.segment, segment
    customers[event.customer_id] = customer
    if segment != before:
        migration = Migration(  # by name: Faust does not keep the fields' order
            customer_id=event.customer_id,
            from_segment=before,
            to_segment=segment,
            effective_at=event.occurred_at,
            cause={"event_id": event.event_id},
        )
        await migrations.send(key=event.customer_id, value=migration)
    processed += 1
    if processed == options.events:
        rows = list(customers.values())
        mark(
            "drained",
            events=processed,
            customers=len(rows),
            purchases=sum(row.orders for row in rows),
            revenue_minor=sum(row.revenue_minor for row in rows),
        )


@app.agent(purchases)
async def count_purchases(stream):
    """Add up orders."""
    async for purchase in stream:
        customer = customers.get(purchase.customer_id) or Customer()
        customer.orders += 1
        customer.revenue_minor += round(float(purchase.total) * 100)
        await assess(customer, purchase)


@app.agent(engagements)
async def count_engagements(stream):
    """Add up engagements."""
    async for engagement in stream:
        customer = customers.get(engagement.customer_id) or Customer()
        customer.engagements += 1
        await assess(customer, engagement)


@customers.on_recover
async def recovered() -> None:
    """Say that partitions were assigned and the table was read back."""
    mark("ready")


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "--without-web", "--loglevel", "WARN"]
    app.main()
