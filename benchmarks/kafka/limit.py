"""The limit: the least that a Python process does with events from Kafka.

librdkafka fetches in batches, the fastest decoder decodes three fields, a dict keeps count, sum and last time. No
validation, no order between the topics, no duplicates, no outputs, nothing durable.

As librdkafka comes it stops fetching for a whole second (`fetch.queue.backoff.ms`) whenever it is 100,000 records or
64 MiB ahead, and the loop then idles for most of the time. A limit must not sleep, so that pause is cut; with
--defaults it stays.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from confluent_kafka import Consumer, KafkaException

from benchmarks.kafka.contender import mark, parse_arguments, take_flag

BATCH_RECORDS = 1_000
"""Larger ones miss the processor's caches: 10,000 took a fifth more processor time."""
DEFAULT_BATCH_RECORDS = 10_000
BACKOFF_MS = 10


class Bare(msgspec.Struct, gc=False):
    """What the loop needs of an event."""

    customer_id: str
    occurred_at: datetime
    total: str | None = None


def main() -> None:
    """Process the events and say what was counted."""
    defaults, options = take_flag("--defaults"), parse_arguments()
    batch_records = DEFAULT_BATCH_RECORDS if defaults else BATCH_RECORDS
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.outputs,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        | ({} if defaults else {"fetch.queue.backoff.ms": BACKOFF_MS})
    )
    consumer.subscribe(options.topics, on_assign=lambda *_: mark("ready"))
    decode = msgspec.json.Decoder(Bare).decode
    customers: dict[str, list] = {}
    events = purchases = 0
    while events < options.events:
        messages = consumer.consume(batch_records, timeout=0.1)
        if messages and not events:
            mark("fetched")
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            event = decode(message.value())
            state = customers.get(event.customer_id)
            if state is None:
                state = customers[event.customer_id] = [0, 0.0, event.occurred_at]
            state[0] += 1
            state[2] = event.occurred_at
            if event.total is not None:
                state[1] += float(event.total)
                purchases += 1
        events += len(messages)
    revenue_minor = round(sum(state[1] for state in customers.values()) * 100)
    mark("drained", events=events, customers=len(customers), purchases=purchases, revenue_minor=revenue_minor)
    consumer.close()


if __name__ == "__main__":
    main()
