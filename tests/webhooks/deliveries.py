"""Migrations to deliver, subscriptions to deliver them to, and the process that does."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml
from aiokafka import AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from stream_app.adapters.kafka_client import KafkaConnection, committed_reader
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.topics import TopicNames
from stream_app.bootstrap.kafka import create_topic_specs
from stream_app.contracts.readers import MigrationRecord, read_migration
from stream_app.settings.sections import Settings
from stream_app.webhooks.deliverer import PublishedMigration
from stream_app.webhooks.messages import BodyForm, Message, build_messages
from tests.support.processes import ServerProcess, free_port, wait_for

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "schemas" / "examples"
LAPSE: Final = EXAMPLES / "segment-migrations" / "lapse.pass.json"
RULES: Final = EXAMPLES / "segment-migrations" / "rules.pass.json"
PARTITIONS: Final = 4
PATIENCE_SECONDS: Final = 300
"""Only ever waited for in full by a test that fails."""
QUICK: Final = {
    "request_timeout_seconds": 20,
    "first_retry_seconds": 0.05,
    "longest_retry_seconds": 0.4,
    "allowed_networks": "127.0.0.0/8",
    "allow_http": True,
}


def secret(seed: str) -> str:
    return "whsec_" + base64.b64encode(sha256(seed.encode()).digest()).decode()


def migration(customer_id: str = "c-42", sequence: int = 3, **changes: object) -> dict[str, Any]:
    """Return the contract's example, as another customer's move."""
    record: dict[str, Any] = json.loads(LAPSE.read_text("utf-8"))
    identity = sha256(f"{customer_id}/{sequence}".encode()).hexdigest()[:32]
    return record | {"migration_id": identity, "customer_id": customer_id, "sequence": sequence} | changes


def with_margin(margin: float) -> dict[str, Any]:
    """Return the example's explanation, as if a distance had decided."""
    return dict(migration()["explanation"]) | {"margin": margin}


def rules_migration(customer_id: str = "c-42", sequence: int = 3, **changes: object) -> dict[str, Any]:
    """Return the contract's example of a segmentation by rules, likewise."""
    record: dict[str, Any] = json.loads(RULES.read_text("utf-8"))
    identity = sha256(f"lifecycle/{customer_id}/{sequence}".encode()).hexdigest()[:32]
    return record | {"migration_id": identity, "customer_id": customer_id, "sequence": sequence} | changes


def as_read(record: Mapping[str, Any]) -> MigrationRecord:
    return read_migration(json.dumps(record).encode())


def messages(form: BodyForm, record: Mapping[str, Any], source: str = "segmenter") -> tuple[Message, ...]:
    """Return the messages of a migration."""
    return build_messages(form, as_read(record), json.dumps(record).encode(), source)


def histories(customers: int, moves: int) -> list[dict[str, Any]]:
    """Return the first moves of some customers, all first moves first."""
    return [migration(f"c{number}", sequence) for sequence in range(1, moves + 1) for number in range(customers)]


def published(record: Mapping[str, Any], offset: int = 7, published_ms: int = 0) -> PublishedMigration:
    value = json.dumps(record).encode()
    return PublishedMigration("segment-migrations", 1, offset, published_ms, record["customer_id"].encode(), value, ())


def subscription(name: str, url: str, **more: object) -> dict[str, Any]:
    return {"name": name, "url": url, "secret": secret(name), "start": "earliest", **more}


class Deployment:
    """Topics under a prefix, and processes of `segmenter webhooks` that share them."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self.names = TopicNames(prefix, "segmenter")
        self._kafka = kafka
        self._folder = folder
        self._subscriptions = folder / "webhooks.yaml"
        self._settings: dict[str, object] = {"subscriptions_file": str(self._subscriptions), **QUICK}
        self.processes: list[WebhooksProcess] = []
        settings = Settings.model_validate({"kafka": {"topic_prefix": prefix, "partitions": PARTITIONS}})
        wanted = self.names.migrations, self.names.models, self.names.webhook_dead_letters
        specs = [spec for spec in create_topic_specs(settings) if spec.name in wanted]
        asyncio.run(create_topics(KafkaConnection(kafka), specs))

    @property
    def environment(self) -> dict[str, str]:
        webhooks = {f"SEGMENTER_WEBHOOKS__{name.upper()}": str(value) for name, value in self._settings.items()}
        return {
            "SEGMENTER_KAFKA__BOOTSTRAP_SERVERS": self._kafka,
            "SEGMENTER_KAFKA__TOPIC_PREFIX": self.names.prefix,
            "SEGMENTER_KAFKA__PARTITIONS": str(PARTITIONS),
            "SEGMENTER_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
            **webhooks,
        }

    def change(self, **webhooks: object) -> None:
        """Change settings, for processes that are started from now on."""
        self._settings |= webhooks

    def subscribe(self, *subscriptions: Mapping[str, Any]) -> None:
        self._subscriptions.write_text(yaml.safe_dump({"subscriptions": list(subscriptions)}), "utf-8")

    def publish_models(self, *models: Mapping[str, Any]) -> None:
        """Append models, in a transaction as a worker does."""
        asyncio.run(self._publish_models(models))

    async def _publish_models(self, models: Sequence[Mapping[str, Any]]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, transactional_id=self.names.group)
        await producer.start()
        try:
            async with producer.transaction():
                for model in models:
                    key, value = model.get("segmentation", "~tick").encode(), json.dumps(model).encode()
                    await producer.send_and_wait(self.names.models, value, key, 0)
        finally:
            await producer.stop()

    def publish(self, migrations: Sequence[Mapping[str, Any]], aborted: Sequence[Mapping[str, Any]] = ()) -> None:
        """Append migrations as a worker does, some in a transaction that is aborted."""
        asyncio.run(self._publish(migrations, aborted))

    async def _publish(self, migrations: Iterable[Mapping[str, Any]], aborted: Iterable[Mapping[str, Any]]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, transactional_id=self.names.group)
        await producer.start()
        try:
            await producer.begin_transaction()
            await self._append(producer, aborted)
            await producer.abort_transaction()
            async with producer.transaction():
                await self._append(producer, migrations)
        finally:
            await producer.stop()

    async def _append(self, producer: AIOKafkaProducer, migrations: Iterable[Mapping[str, Any]]) -> None:
        topic = self.names.migrations
        sent = [
            await producer.send(topic, json.dumps(record).encode(), record["customer_id"].encode())
            for record in migrations
        ]
        await asyncio.gather(*sent)

    def start(self) -> WebhooksProcess:
        process = WebhooksProcess(self.environment, self._folder / f"webhooks-{len(self.processes)}.log")
        self.processes.append(process)
        process.start()
        return process

    def dead_letters(self) -> list[tuple[dict[str, Any], dict[str, str]]]:
        """Return migrations and headers."""
        return asyncio.run(self._read_dead_letters())

    async def _read_dead_letters(self) -> list[tuple[dict[str, Any], dict[str, str]]]:
        found = []
        async with committed_reader(KafkaConnection(self._kafka)) as consumer:
            partitions = [TopicPartition(self.names.webhook_dead_letters, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        found.append((json.loads(record.value), headers))
        return found

    def discard(self) -> None:
        for process in self.processes:
            process.server.discard()


class WebhooksProcess:
    """One process of `segmenter webhooks`."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._port = free_port()
        assignments = [f"{name}={value}" for name, value in environment.items()]
        command = ["env", "-C", str(ROOT), *assignments, f"SEGMENTER_WEBHOOKS__HEALTH_PORT={self._port}"]
        self.server = ServerProcess([*command, sys.executable, "-m", "stream_app", "webhooks"], log)

    def start(self) -> None:
        self.server.start()

    def wait_until_ready(self) -> None:
        wait_for(lambda: self._is_ready() or not self.server.is_running, PATIENCE_SECONDS, "the webhooks to be ready")
        assert self.server.is_running, self.log.read_text("utf-8")

    def figures(self) -> dict[tuple[str, ...], float]:
        """Return all metrics by name and the values of their labels, in the order of the labels' names."""
        families = list(text_string_to_metric_families(self._get("metrics")))
        return {
            (
                sample.name.removeprefix("segmenter_"),
                *(sample.labels[name] for name in sorted(sample.labels)),
            ): sample.value
            for family in families
            for sample in family.samples
        }

    def answers(self) -> str:
        """Return everything that its own server says."""
        return self._get("metrics") + self._get("ready") + self._get("live")

    def _get(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{name}", timeout=5) as answer:
            return str(answer.read().decode())

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/ready", timeout=2) as answer:
                return bool(json.load(answer)["ready"])
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False
