"""In which order a transaction's batches go to the producer."""

from __future__ import annotations

import asyncio
from typing import Any

from stream_app.adapters import delivery as module
from stream_app.adapters.delivery import OutgoingRecord, TransactionalDelivery
from stream_app.adapters.kafka_client import KafkaConnection


class Producer:
    """Notes what it is asked for."""

    def __init__(self, **_: Any) -> None:
        self.calls: list[str] = []

    async def begin_transaction(self) -> None:
        self.calls.append("begin")

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[None]:  # noqa: ARG002
        self.calls.append(f"{topic} {partition}")
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    async def commit_transaction(self) -> None:
        self.calls.append("commit")


def test_first_batches_of_all_partitions_go_before_the_rest(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "AIOKafkaProducer", Producer)
    monkeypatch.setattr(module, "BATCH_BYTES", 1_000)
    large, small = [[OutgoingRecord(b"key", b"x" * 600)] * count for count in (3, 1)]

    async def test() -> list[str]:
        delivery = TransactionalDelivery(KafkaConnection("nowhere:1"), "t", 60)
        await delivery.commit({("a", 1): large, ("b", 1): small, ("c", 0): [], ("d", 0): large[:2]})
        calls: list[str] = delivery._producer.calls
        return calls

    assert asyncio.run(test()) == ["begin", "a 1", "b 1", "d 0", "a 1", "d 0", "a 1", "commit"]
