"""Worker processes on a real broker end where `segmenter replay` does, and begin, follow and stop as they should."""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from msgspec.structs import astuple
from msgspec.structs import replace as changed

from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.topic_admin import create_topics
from stream_app.adapters.wall_clock import now_ms
from stream_app.audit.verification import verify
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.bootstrap.verify import create_deployment
from stream_app.contracts.readers import FiguresRecord, read_figures
from stream_app.core.clock import DAY_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.events import Event, order_digest
from stream_app.core.members import MemberSums
from stream_app.errors import InvalidRecord
from stream_app.segmentations.learned.document import ModelProposal
from stream_app.segmentations.learned.model import Frame, Model
from stream_app.settings.sections import Settings
from stream_app.simulator.simulation import Faults, simulate
from stream_app.sources import cdnow
from stream_app.sources.files import SourceFile, merge_by_time
from stream_app.worker.decisions import model_record
from tests.reference.row import Row, decode_row
from tests.support.batches import contents_of
from tests.support.events import START_MS, engagement, purchase, refund
from tests.support.log_lines import last_words
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.replays import ROOT, refused, start
from tests.support.tables import row_of
from tests.support.totals import EXACT
from tests.worker.memory import payload

SHARED_DATA = ROOT.parent / "shared" / "data"
PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""
NOW_MS = START_MS + 10**11
WEEK_SECONDS = 604_800
TOTALS = ("purchases", "refunds", "engagements", "revenue_minor")


class Input(NamedTuple):
    """A record to be produced; the key's own partition if none is named."""

    topic: str
    key: bytes
    value: bytes | None
    partition: int | None = None


def input_of(event: Event, topic: str = "purchases", partition: int | None = None) -> Input:
    return Input(topic, event.customer_id.encode(), payload(event), partition)


class Deployment:
    """Topics, and worker processes with the same settings.

    Parameters
    ----------
    bootstrap_servers, prefix
        The broker, and what the topics' names begin with.
    folder
        For the workers' logs.
    segmentations
        What customers are segmented by.
    sections
        Settings beside those that it takes to be by itself, by section.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        prefix: str,
        folder: Path,
        segmentations: Sequence[Mapping[str, Any]] = ({"name": "value", "kind": "learned"},),
        **sections: Mapping[str, Any],
    ) -> None:
        kafka = {"bootstrap_servers": bootstrap_servers, "topic_prefix": prefix, **sections.pop("kafka", {})}
        self.settings = Settings(kafka=kafka, segmentations=list(segmentations), **sections)
        self.topics = create_topic_names(self.settings)
        self.partitions = self.settings.kafka.partitions
        self.workers: list[ServerProcess] = []
        self._folder = folder
        self._ports: list[int] = []
        self._environment = [
            f"SEGMENTER_{section}__{name}={value}".replace(f"{section}__{name}", f"{section}__{name}".upper())
            for section, settings in {"kafka": kafka, **sections}.items()
            for name, value in settings.items()
        ]
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json", delete=False) as file:
            json.dump({"version": 1, "segmentations": list(segmentations)}, file)
        self._environment.append(f"SEGMENTER_SEGMENTATIONS_FILE={file.name}")

    def create_topics(self) -> None:
        asyncio.run(create_topics(create_connection(self.settings), create_topic_specs(self.settings)))

    def start_worker(self) -> ServerProcess:
        """Start another worker and return once it is ready."""
        worker = self.begin_worker()
        self.wait(lambda: self.readiness(-1).get("ready", False), "a worker that is ready")
        return worker

    def begin_worker(self) -> ServerProcess:
        """Start another worker."""
        self._ports.append(free_port())
        environment = [*self._environment, f"SEGMENTER_WORKER__HEALTH_PORT={self._ports[-1]}"]
        command = ["env", "-C", ROOT, *environment, sys.executable, "-m", "stream_app", "worker"]
        worker = ServerProcess(command, self._folder / f"worker-{len(self._ports)}.log")
        self.workers.append(worker)
        worker.start()
        return worker

    def readiness(self, worker: int) -> dict[str, Any]:
        """Return what `/ready` says; an empty object where nobody answers."""
        with suppress(OSError):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[worker]}/ready", timeout=2) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as error:
                return dict(json.load(error))
        return {}

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that workers are to bring about, as long as they all run."""

        def holds() -> bool:
            for worker in self.workers:
                assert worker.is_running, worker.log_tail()
            return condition()

        wait_for(holds, PATIENCE_SECONDS, what)

    def produce(self, inputs: Iterable[Input], *, in_transaction: bool = False) -> None:
        """Produce records, placed as Java's clients place them."""
        options: dict[str, Any] = {"bootstrap.servers": self.settings.kafka.bootstrap_servers, "log_level": 0}
        options |= {"partitioner": "murmur2_random", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
        if in_transaction:
            options["transactional.id"] = f"{self.topics.prefix}producer"
        producer = Producer(options)
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        if in_transaction:
            producer.init_transactions(PATIENCE_SECONDS)
            producer.begin_transaction()
        for number, (topic, key, value, partition) in enumerate(inputs):
            place = {} if partition is None else {"partition": partition}
            producer.produce(self.topics.prefix + topic, value, key, on_delivery=delivered, **place)
            if number % 1_000 == 0:
                producer.poll(0)
        if in_transaction:
            producer.commit_transaction(PATIENCE_SECONDS)
        assert producer.flush(PATIENCE_SECONDS) == 0
        assert failures == []

    def committed(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Return the group's offset and the end of each input partition."""
        consumer = self._consumer(self.topics.group)
        places = [TopicPartition(topic, number) for topic in self.topics.taken_in for number in range(self.partitions)]
        found = {}
        for place in consumer.committed(places, timeout=PATIENCE_SECONDS):
            _, end = consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)
            found[place.topic, place.partition] = (max(place.offset, 0), end)
        consumer.close()
        return found

    def wait_until_drained(self) -> None:
        """Wait until the group's offsets are at the end."""
        self.wait(lambda: all(offset == end for offset, end in self.committed().values()), "offsets that reach the end")

    def read(self, topic: str) -> list[Message]:
        """Return all committed records of a topic, partition by partition."""
        consumer = self._consumer("none")
        partitions = range(len(consumer.list_topics(topic, PATIENCE_SECONDS).topics[topic].partitions))
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        records: list[Message] = []
        unread = set(partitions)
        while unread:
            message = consumer.poll(PATIENCE_SECONDS)
            assert message is not None, f"{topic} could not be read"
            if message.error() is None:
                records.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                unread.discard(message.partition() or 0)
        consumer.close()
        return records

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.value() or b"") for message in self.read(topic)]

    def rows(self) -> dict[str, Row]:
        """Return the state of each customer, and check that each is in its own partition alone."""
        found: dict[str, Row] = {}
        places: dict[str, int | None] = {}
        for message in self.read(self.topics.changelog):
            key = message.key() or b""
            if key not in (POSITION_KEY, FENCE_KEY):
                customer_id = key.decode()
                assert message.partition() == partition_of(key, self.partitions)
                assert places.setdefault(customer_id, message.partition()) == message.partition()
                found[customer_id] = decode_row(message.value() or b"")[0]
        return found

    def newest_version(self) -> int:
        return max((model.get("version", 0) for model in self.values(self.topics.models)), default=0)

    def has_learned(self) -> bool:
        return self.newest_version() > 0

    def positions(self) -> dict[int, PartitionPosition]:
        """Return how far each partition's state is."""
        return {
            message.partition() or 0: PartitionPosition.decode(message.value() or b"")
            for message in self.read(self.topics.changelog)
            if message.key() == POSITION_KEY
        }

    def discard(self) -> None:
        for worker in self.workers:
            worker.discard()

    def _consumer(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.settings.kafka.bootstrap_servers,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )


def partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deploy]:
    """Make deployments, by sections of settings; their workers are ended afterwards."""
    made: list[Deployment] = []

    def make(**sections: Mapping[str, Any]) -> Deployment:
        made.append(Deployment(kafka, topic_prefix, tmp_path, **sections))
        made[-1].create_topics()
        return made[-1]

    yield make
    for deployment in made:
        deployment.discard()


# --- the same totals as a replay ----------------------------------------------------------------------------------

BACKTEST = {"clock": "event"}
WEEKLY = {"sweep_interval_seconds": WEEK_SECONDS}
"""Fewer sweeps: the totals do not depend on them."""


def replayed(settings: Settings, sources: list[SourceFile], out: Path) -> CustomerTable:
    """Return the customers at the end of a replay."""
    run = create_replay(settings, out)
    readers = create_readers(settings, sources, NOW_MS)
    run.run(readers)
    for reader in readers:
        reader.close()
    return run.partition.table


def assert_same_totals(rows: Mapping[str, Row], table: CustomerTable) -> None:
    """Compare every customer's totals, counts and money to the unit."""
    assert rows.keys() == set(table.customer_ids)
    for customer_id, row in rows.items():
        expected = row_of(table, table.find(customer_id))
        for name in {*TOTALS, *EXACT}:
            assert getattr(row, name) == getattr(expected, name), (customer_id, name)


def stopped(deployment: Deployment) -> None:
    for worker in deployment.workers:
        assert worker.stop(PATIENCE_SECONDS) == 0, worker.log_tail()


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated population that repeats itself, comes late and makes mistakes."""
    folder = tmp_path_factory.mktemp("population")
    simulate(300, 120, 5, folder, faults=Faults(duplicate_rate=0.02, malformed_rate=0.01, late_rate=0.02))
    return folder


def inputs_of(folder: Path, settings: Settings) -> Iterator[Input]:
    """Yield the population's records as they are; one that names no customer gets a key of its own."""
    for topic, decoder in create_decoders(settings).items():
        path = folder / f"{topic}.jsonl.gz"
        if not path.exists():  # nobody simulates profiles
            continue
        for line in gzip.decompress(path.read_bytes()).splitlines():
            try:
                key = decoder.decode(line, NOW_MS).customer_id.encode()
            except InvalidRecord:
                key = b"nobody"
            yield Input(topic, key, line)


@pytest.mark.parametrize("partitions", [1, 4])
def test_population_ends_in_the_totals_of_a_replay(
    deploy: Deploy, population: Path, tmp_path: Path, partitions: int
) -> None:
    deployment = deploy(kafka={"partitions": partitions}, worker=BACKTEST, assignment=WEEKLY)
    in_transaction = partitions == 4  # whose marker is the last offset then
    deployment.produce(inputs_of(population, deployment.settings), in_transaction=in_transaction)
    deployment.start_worker()
    deployment.wait_until_drained()
    deployment.wait(deployment.has_learned, "a model")
    stopped(deployment)
    sources = [
        SourceFile(population / f"{topic}.jsonl.gz", topic, {}, {}, None) for topic in ("purchases", "engagements")
    ]
    table = replayed(deployment.settings, sources, tmp_path / "out")
    assert_same_totals(deployment.rows(), table)
    summary = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert len(deployment.read(deployment.topics.dead_letters)) == summary["counts"]["rejected"] > 0


def with_own_orders(events: Iterable[Event], table: Path) -> Iterator[Event]:
    """Yield the purchases of a table with the ids of their orders, of which reading leaves digests alone."""
    with gzip.open(table, "rt") if table.suffix == ".gz" else table.open() as lines:
        named = {row["order_id"] for row in csv.DictReader(lines) if "order_id" in row}
    ids = {f"{order_digest(order_id):016x}": order_id for order_id in named}
    for event in events:
        # An order without an id of its own has that of its event.
        yield changed(event, order_id=ids.get(event.order_id, event.event_id))


def play_table(deployment: Deployment, source: SourceFile, tmp_path: Path, count: int) -> None:
    """Send a table's purchases through a worker, and compare with a replay of the table."""
    (reader,) = create_readers(deployment.settings, [source], NOW_MS)
    events = [content for batch in merge_by_time([reader]) for content in contents_of(batch)]
    reader.close()
    assert len(events) == count
    currency = deployment.settings.money.base_currency.encode()
    purchases = with_own_orders((event for event in events if isinstance(event, Event)), source.path)
    inputs = [input_of(event) for event in purchases]
    deployment.produce(item._replace(value=item.value.replace(b'"EUR"', b'"%s"' % currency)) for item in inputs)  # type: ignore[union-attr]
    deployment.start_worker()
    deployment.wait_until_drained()
    deployment.wait(deployment.has_learned, "a model")
    stopped(deployment)
    table = replayed(deployment.settings, [source], tmp_path / "out")
    assert_same_totals(deployment.rows(), table)
    assert deployment.read(deployment.topics.dead_letters) == []


@pytest.mark.real_data
def test_cdnow_ends_in_the_totals_of_a_replay(deploy: Deploy, tmp_path: Path) -> None:
    path = tmp_path / "cdnow.csv"
    count = cdnow.write_cdnow_csv(path)
    deployment = deploy(
        kafka={"partitions": 4}, worker=BACKTEST, assignment=WEEKLY, money={"base_currency": cdnow.CURRENCY}
    )
    columns, constants = {"occurred_at": "date", "total": "amount"}, {"currency": cdnow.CURRENCY}
    play_table(deployment, SourceFile(path, "purchases", columns, constants, UTC), tmp_path, count)


@pytest.mark.real_data
def test_online_retail_ends_in_the_totals_of_a_replay(deploy: Deploy, tmp_path: Path) -> None:
    path = SHARED_DATA / "online_retail_orders.csv.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {SHARED_DATA.name}")
    deployment = deploy(kafka={"partitions": 2}, worker=BACKTEST, assignment=WEEKLY, money={"base_currency": "GBP"})
    columns, constants = {"occurred_at": "ts", "total": "amount"}, {"currency": "GBP"}
    play_table(deployment, SourceFile(path, "purchases", columns, constants, UTC), tmp_path, 22_190)
    assert sum(row.refunds for row in deployment.rows().values()) > 0


# --- what else comes in -------------------------------------------------------------------------------------------


def test_record_on_the_wrong_partition_is_passed_on_and_counted_where_it_belongs(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 4}, worker=BACKTEST)
    customers = [f"customer-{number}" for number in range(20)]
    inputs = []
    for day, customer_id in enumerate(customers):
        wrong = (partition_of(customer_id.encode(), 4) + 1) % 4
        inputs.append(input_of(purchase(day, customer_id=customer_id), partition=wrong))
        inputs.append(input_of(engagement(day, customer_id=customer_id), "engagements"))
        second = f"second {day}"
        inputs.append(input_of(purchase(day, customer_id=customer_id, event_id=second, order_id=second)))
        inputs.append(input_of(refund(day, 100, f"order {customer_id} {day}", customer_id=customer_id)))
    inputs.append(Input("purchases", b"customer-1", None))
    inputs.append(Input("engagements", b"customer-1", b"{}"))
    deployment.produce(inputs)
    worker = deployment.start_worker()
    deployment.wait(
        lambda: len(deployment.read(deployment.topics.input_topic("purchases"))) == 81, "records that are passed on"
    )
    deployment.wait_until_drained()
    deployment.wait(lambda: "caught up with partitions [0, 1, 2, 3]" in worker.log(), "the log's word on that")
    topic = deployment.topics.input_topic("engagements")
    told = f"refused 1 record, now on the topic of dead letters: {topic} missing_field 1"
    deployment.wait(lambda: told in worker.log(), "the log's word on what was refused")
    assert "customer-" not in worker.log()
    stopped(deployment)
    rows = deployment.rows()
    assert {c: tuple(getattr(row, name) for name in TOTALS) for c, row in rows.items()} == dict.fromkeys(
        customers, (2, 1, 1, 9_900)
    )
    passed_on = Counter((m.key(), m.value()) for m in deployment.read(deployment.topics.input_topic("purchases")))
    assert sorted(passed_on.values()) == [1] * 41 + [2] * 20
    (letter,) = deployment.values(deployment.topics.dead_letters)
    assert (letter["reason"], letter["position"]["topic"]) == (
        "missing_field",
        deployment.topics.input_topic("engagements"),
    )
    memberships = deployment.values(deployment.topics.memberships)
    assert {membership["customer_id"] for membership in memberships} == set(customers)


def test_return_without_a_customer_is_that_of_its_order_also_for_the_audit(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 2}, worker=BACKTEST)
    customers = [f"customer-{number}" for number in range(6)]
    bought = [purchase(day, customer_id=customer, order_id=f"o{day}") for day, customer in enumerate(customers)]
    deployment.produce(input_of(event) for event in bought)
    by_order = [json.loads(payload(refund(8, 1_000, f"o{day}", event_id=f"r{day}"))) for day in range(7)]
    told = [{name: value for name, value in record.items() if name != "customer_id"} for record in by_order]
    told[5] |= {"type": "order_cancelled"}
    values = [json.dumps(record).encode() for record in told]
    keyed = [Input("purchases", customer.encode(), value) for customer, value in zip(customers, values, strict=False)]
    wrong = 1 - partition_of(customers[1].encode(), 2)
    keyed[1] = keyed[1]._replace(partition=wrong)
    deployment.produce([*keyed, Input("purchases", b"customer-0", values[6])])
    deployment.start_worker()
    topic = deployment.topics.input_topic("purchases")
    deployment.wait(lambda: len(deployment.read(topic)) == 14, "the record that is passed on")
    deployment.wait_until_drained()
    stopped(deployment)
    revenue = {customer: row.revenue_minor for customer, row in deployment.rows().items()}
    assert revenue == dict.fromkeys(customers, 4_000) | {customers[5]: 0}
    (letter,) = deployment.values(deployment.topics.dead_letters)
    assert (letter["reason"], letter["field"], letter["payload"]) == ("unknown_order", "order_id", values[6].decode())
    found = asyncio.run(verify(create_deployment(deployment.settings), is_drained=True))
    assert found.tally.is_clean, found.tally.examples
    assert (found.refused, found.figures["misplaced"]) == (Counter(["unknown_order"]), 1)


def test_silent_customers_lapse_and_a_new_model_reaches_every_worker_and_its_customers(deploy: Deploy) -> None:
    deployment = deploy(
        kafka={"partitions": 2}, worker={"sweep_interval_seconds": 1, "idle_seconds": 1}, assignment=WEEKLY
    )
    silent = [f"silent-{number}" for number in range(12)]
    active = [f"active-{number}" for number in range(12)]
    today = (now_ms() - START_MS) / DAY_MS
    deployment.produce(
        input_of(purchase(number / 10, customer_id=customer_id)) for number, customer_id in enumerate(silent)
    )
    deployment.produce(
        input_of(purchase(today - ago, customer_id=customer_id)) for ago in (3.0, 2.0, 1.0) for customer_id in active
    )
    deployment.start_worker()
    deployment.start_worker()
    deployment.wait(
        lambda: sorted(deployment.readiness(worker).get("partitions", []) for worker in (0, 1)) == [[0], [1]],
        "a share for each worker",
    )
    topics = deployment.topics

    def customers_moved_by(kind: str) -> set[str]:
        return {m["customer_id"] for m in deployment.values(topics.migrations) if m["cause"]["kind"] == kind}

    deployment.wait(lambda: customers_moved_by("lapse") == set(silent), "lapses that no event caused")
    deployment.wait_until_drained()
    shift = np.array((3.0, 0.0, 0.0))  # of a population that orders far more often
    frame = replace(Frame(), centres=Frame().centres + shift)
    model = Model("value", version=7, as_of_ms=now_ms(), frame=frame)
    record = model_record(ModelProposal(model))
    deployment.produce([Input("segment-models", record.key or b"", record.value)])
    deployment.wait(
        lambda: [deployment.readiness(worker).get("versions") for worker in (0, 1)] == [{"value": 7}, {"value": 7}],
        "workers that follow the new model",
    )
    deployment.wait(
        lambda: all("segmentation value: model 7, learned at " in worker.log() for worker in deployment.workers),
        "the logs' word on that",
    )
    deployment.wait(lambda: customers_moved_by("model") == set(active), "migrations under the new model")
    stopped(deployment)
    sequences: dict[str, list[int]] = {customer_id: [] for customer_id in (*silent, *active)}
    for migration in deployment.values(topics.migrations):
        sequences[migration["customer_id"]].append(migration["sequence"])
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values())
    assert {position.versions["value"] for position in deployment.positions().values()} == {7}


# --- beginning and ending ------------------------------------------------------------------------------------------


def test_worker_goes_on_where_the_one_before_it_stopped(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 1}, worker=BACKTEST)
    deployment.produce(input_of(purchase(day)) for day in range(5))
    first = deployment.start_worker()
    deployment.wait_until_drained()
    first.signal(signal.SIGINT)
    assert first.wait(PATIENCE_SECONDS) == 0, first.log_tail()
    deployment.workers.clear()
    deployment.produce(input_of(purchase(day)) for day in range(3, 9))
    deployment.start_worker()
    deployment.wait_until_drained()
    stopped(deployment)
    assert deployment.rows()["c1"].purchases == 9
    (entered, *_) = deployment.values(deployment.topics.migrations)
    assert (entered["sequence"], entered["change"]) == (1, "entered")


def test_worker_of_another_time_zone_is_refused_on_one_line_and_changes_nothing(
    kafka: str, topic_prefix: str, deploy: Deploy, tmp_path: Path
) -> None:
    deployment = deploy(kafka={"partitions": 1}, worker=BACKTEST, business={"timezone": "America/New_York"})
    deployment.produce(input_of(purchase(day / 2)) for day in range(6))
    first = deployment.start_worker()
    deployment.wait_until_drained()
    first.signal(signal.SIGINT)
    assert first.wait(PATIENCE_SECONDS) == 0, first.log_tail()
    deployment.workers.clear()
    before = deployment.rows(), deployment.positions()
    path = tmp_path / "elsewhere.toml"
    path.write_text(
        f'[business]\ntimezone = "Europe/Berlin"\n[kafka]\nbootstrap_servers = "{kafka}"\ntopic_prefix = '
        f'"{topic_prefix}"\npartitions = 1\n[worker]\nhealth_port = 0\n',
        "utf-8",
    )
    other = start("worker", "--config", path)
    _, error = other.communicate(timeout=PATIENCE_SECONDS)
    assert other.returncode == 2, error
    assert last_words(error.decode()) == [
        "FATAL TimeZoneChanged: setting business.timezone: 'Europe/Berlin', expected 'America/New_York', whose days "
        f"{deployment.topics.changelog}[0] counts; set it back, or have the inputs counted anew under another "
        "kafka.app_id"
    ]
    assert (deployment.rows(), deployment.positions()) == before
    assert before[1][0].timezone == "America/New_York"
    deployment.start_worker()
    stopped(deployment)


def test_figures_of_all_partitions_add_up_to_the_customers_also_after_a_kill(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 2}, worker={**BACKTEST, "figures_interval_seconds": 1})

    def told() -> MemberSums:
        """Add up the newest record of each key, as every reader does."""
        newest: dict[bytes, FiguresRecord] = {}
        for message in deployment.read(deployment.topics.figures):
            figures = read_figures(message.value() or b"")
            assert (message.key(), message.partition()) == (f"value/{figures.partition}".encode(), figures.partition)
            newest[message.key() or b""] = figures
        sums = (MemberSums(*astuple(each)[1:]) for figures in newest.values() for each in figures.segments)
        return reduce(MemberSums.plus, sums, MemberSums())

    def held() -> MemberSums:
        rows = deployment.rows().values()
        return MemberSums(
            len(rows),
            sum(row.purchases for row in rows),
            sum(row.revenue_minor for row in rows),
            sum(row.first_at_ms // 1_000 for row in rows),
            sum(max(row.purchased_at_ms, row.engaged_at_ms, row.first_at_ms) // 1_000 for row in rows),
        )

    def is_told() -> bool:
        return told() == held()

    customers = [f"customer-{number}" for number in range(20)]
    deployment.produce(input_of(purchase(day, 100 * day, customer)) for day, customer in enumerate(customers))
    first = deployment.start_worker()
    deployment.wait(lambda: told().customers == len(customers) and is_told(), "figures of everybody")
    deployment.produce(
        input_of(engagement(30 + day, customer_id=customer), "engagements") for day, customer in enumerate(customers)
    )
    first.kill()
    deployment.workers.clear()
    deployment.produce(input_of(purchase(60, 999, customer)) for customer in ["another", *customers[:5]])
    deployment.start_worker()
    deployment.wait_until_drained()
    deployment.wait(is_told, "figures of everybody after the kill")
    assert (told().customers, told().purchases) == (len(customers) + 1, len(customers) + 6)
    stopped(deployment)
    assert is_told()


def test_wrong_setting_is_refused_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGMENTER_WORKER__IDLE_SECONDS", "soon")
    assert "setting worker.idle_seconds: 'soon' is refused" in refused(capsys, "worker")


def test_missing_or_otherwise_divided_topics_are_refused_on_one_line(
    kafka: str, topic_prefix: str, deploy: Deploy, tmp_path: Path
) -> None:
    deploy(kafka={"partitions": 2})

    def config(prefix: str, partitions: int) -> Path:
        path = tmp_path / f"{prefix}.toml"
        path.write_text(
            f'[kafka]\nbootstrap_servers = "{kafka}"\ntopic_prefix = "{prefix}"\npartitions = {partitions}\n'
            "[worker]\nhealth_port = 0\n",
            "utf-8",
        )
        return path

    missing = start("worker", "--config", config(f"{topic_prefix}none-", 2))
    divided = start("worker", "--config", config(topic_prefix, 3))
    for process, words in ((missing, b"segmenter topics create"), (divided, b"2 partitions, expected 3")):
        output, error = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, output, error.count(b"\n")) == (2, b"", 1), error
        assert error.startswith(b"segmenter: topic ")
        assert words in error
