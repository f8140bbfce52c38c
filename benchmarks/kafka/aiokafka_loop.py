"""What a good programmer writes by hand with aiokafka: state in a dict, its changelog in Kafka, a simple rule.

A row goes to the changelog for every event, a migration goes out when the rule's segment changes. Plain: offsets are
committed every second, after what was sent is acknowledged; a crash repeats up to a second. With --transactions: one
transaction for at most 1,000 events, the offsets inside it. Neither has recovery, order between the topics,
duplicates, silent customers, or learning.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition

from benchmarks.kafka.contender import Event, mark, parse_arguments, segment_of, take_flag

BATCH_RECORDS = 1_000
COMMIT_SECONDS = 1.0


class Customer(msgspec.Struct):
    """A row."""

    orders: int = 0
    engagements: int = 0
    revenue_minor: int = 0
    last_at: float = 0.0
    segment: str | None = None


class Ready(ConsumerRebalanceListener):
    """Says when the partitions have been assigned."""

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Nothing to give back: this benchmark never rebalances."""

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Say so."""
        if assigned:
            mark("ready")


class Loop:
    """Consumer, state and producer."""

    def __init__(self, options: argparse.Namespace, transactions: bool) -> None:
        self._options = options
        self._producer = AIOKafkaProducer(
            bootstrap_servers=options.bootstrap,
            acks="all",
            linger_ms=5,
            max_batch_size=262_144,
            transactional_id=options.outputs if transactions else None,
        )
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=options.bootstrap,
            group_id=options.outputs,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        self._run = self._run_transactions if transactions else self._run_plain
        self._acks: list[asyncio.Future] = []
        self._decode = msgspec.json.Decoder(Event).decode
        self._encode = msgspec.json.Encoder().encode
        self.customers: dict[bytes, Customer] = {}
        self.events = 0

    async def run(self) -> None:
        """Process the events."""
        await self._producer.start()
        self._consumer.subscribe(self._options.topics, listener=Ready())
        await self._consumer.start()
        try:
            await self._run()
            state = self.customers.values()
            mark(
                "drained",
                events=self.events,
                customers=len(self.customers),
                purchases=sum(customer.orders for customer in state),
                revenue_minor=sum(customer.revenue_minor for customer in state),
            )
        finally:
            await self._consumer.stop()
            await self._producer.stop()

    async def _run_plain(self) -> None:
        commit_at = time.monotonic() + COMMIT_SECONDS
        while self.events < self._options.events:
            await self._process(await self._fetch())
            if time.monotonic() >= commit_at:
                await self._settle()
                await self._consumer.commit()
                commit_at = time.monotonic() + COMMIT_SECONDS
        await self._settle()
        await self._consumer.commit()

    async def _run_transactions(self) -> None:
        while self.events < self._options.events:
            batches = await self._fetch()
            if not batches:
                continue
            async with self._producer.transaction():
                await self._process(batches)
                await self._settle()
                offsets = {partition: records[-1].offset + 1 for partition, records in batches.items()}
                await self._producer.send_offsets_to_transaction(offsets, self._options.outputs)

    async def _fetch(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        batches = await self._consumer.getmany(timeout_ms=100, max_records=BATCH_RECORDS)
        if batches and not self.events:
            mark("fetched")
        return batches

    async def _process(self, batches: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        changelog, migrations = self._options.outputs + "changelog", self._options.outputs + "migrations"
        send = self._producer.send
        for partition, records in batches.items():
            for record in records:
                customer, migration = self._fold(record)
                row = self._encode(customer)
                self._acks.append(await send(changelog, row, record.key, partition.partition))
                if migration is not None:
                    self._acks.append(await send(migrations, migration, record.key, partition.partition))
            self.events += len(records)

    def _fold(self, record: ConsumerRecord) -> tuple[Customer, bytes | None]:
        """Return the changed row, and a migration if the segment changed."""
        event = self._decode(record.value)
        customer = self.customers.get(record.key)
        if customer is None:
            customer = self.customers[record.key] = Customer()
        at = event.occurred_at.timestamp()
        gap_seconds = at - customer.last_at if customer.last_at else 0.0
        customer.last_at = max(at, customer.last_at)
        if event.total is None:
            customer.engagements += 1
        else:
            customer.orders += 1
            customer.revenue_minor += round(float(event.total) * 100)
        segment = segment_of(customer.orders, customer.revenue_minor, gap_seconds)
        if segment == customer.segment:
            return customer, None
        migration = {
            "customer_id": event.customer_id,
            "from_segment": customer.segment,
            "to_segment": segment,
            "effective_at": event.occurred_at,
            "cause": {"event_id": event.event_id},
        }
        customer.segment = segment
        return customer, self._encode(migration)

    async def _settle(self) -> None:
        """Wait until everything sent is acknowledged, and fail if something was not."""
        await self._producer.flush()
        for ack in self._acks:
            ack.result()
        self._acks.clear()


def main() -> None:
    """Process the events and say what was counted."""
    transactions = take_flag("--transactions")

    async def run() -> None:
        await Loop(parse_arguments(), transactions).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
