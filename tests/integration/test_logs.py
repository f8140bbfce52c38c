"""What all services write to their logs while real records go through: what an operator asks, and nobody's data."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from stream_app.core.clock import DAY_MS, format_instant
from tests.integration.test_metrics import CONFIGURED, PATIENCE_SECONDS, Stack
from tests.integration.test_worker import Deployment, Input
from tests.support.events import START_MS
from tests.support.log_lines import documents, messages
from tests.support.processes import wait_for
from tests.support.servers import RedisServer
from tests.webhooks.receiver import Receiver, Reply

CUSTOMERS = [f"person-{number:02d}@known.example" for number in range(40)]
DAYS = range(0, 84, 4)
LEVELS = {"debug", "info", "warning", "error", "critical"}
TOLD = {
    "worker": (
        r"partitions \[.*\] are open with 0 customers after",
        r"segmentation offers: version \d+ is in force",
        r"caught up with partitions \[.*\] after \d+ s: ",
        r"[\d,]+ records folded, [\d,]+ migrations? \(",
        r"refused [\d,]+ records?, now on the topic of dead letters: .* (malformed|invalid_time) \d+",
        r"tick of 20\d\d-.*Z: learned from a sample of [\d,]+ of [\d,]+ customers in \d+ partitions?; ",
        r"segmentation value: model \d+, learned at .*, is published: moves ",
        r"partitions \[.*\] are given back, all that they did is written",
        r"stopped after ",
    ),
    "view": (r"the view is rebuilt after ", r"caught up after "),
    "api": (r"serving http",),
    "webhooks": (r"delivering to accepting, refusing", r"subscription accepting: partitions \[.*\] are open"),
}


@pytest.fixture
def deployment(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    learning = {"tick_days": 7, "sample_size": 200}
    made = Deployment(kafka, topic_prefix, tmp_path, CONFIGURED, worker={"clock": "event"}, learning=learning)
    made.create_topics()
    yield made
    made.discard()


def records() -> Iterator[Input]:
    """Yield orders of people who are known, of whom some stay away, and a few records that break the contract."""
    for day in DAYS:
        for number, customer in enumerate(CUSTOMERS):
            if day > 40 and number % 3 == 0:
                continue
            order = {
                "event_id": f"known-event-{number}-{day}",
                "customer_id": customer,
                "order_id": f"known-order-{number}-{day}",
                "occurred_at": format_instant(START_MS + day * DAY_MS + number),
                "currency": "EUR",
                "total": f"{731 + number}.19",
            }
            yield Input("purchases", customer.encode(), json.dumps(order).encode())
    for number, customer in enumerate(CUSTOMERS[:5]):
        yield Input("purchases", customer.encode(), f"{customer};{731 + number}.19".encode())
        unknown = {"event_id": f"known-event-{number}", "customer_id": customer, "occurred_at": customer}
        yield Input("engagements", customer.encode(), json.dumps(unknown).encode())


def personal(log: str) -> list[str]:
    """Return what stands in a log and belongs to somebody."""
    return re.findall(r"person-\d|known-event-\d|known-order-\d|known\.example|\b7[3-7]\d\.19", log)


def test_logs_say_what_an_operator_asks_and_nothing_of_a_customer(deployment: Deployment, tmp_path: Path) -> None:
    with ExitStack() as running:
        redis = running.enter_context(RedisServer(tmp_path / "redis"))
        receiver = running.enter_context(Receiver({"/refusing": lambda *_: Reply(503)}))
        stack = Stack(deployment, tmp_path, redis, receiver)
        stack._environment.append("SEGMENTER_API__ACCESS_LOG=true")
        processes = {name: stack.start(name) for name in ("view", "api", "webhooks")}
        for process in processes.values():
            running.callback(process.discard)
        processes["worker"] = deployment.workers.pop()
        running.callback(processes["worker"].discard)
        logs = {name: tmp_path / f"{name}.log" for name in ("view", "api", "webhooks")}
        logs["worker"] = tmp_path / "worker-1.log"

        def said(name: str) -> str:
            return "\n".join(messages(logs[name].read_text("utf-8")))

        wait_for(lambda: said("webhooks").count(" are open") == 2, PATIENCE_SECONDS, "webhooks that listen")
        deployment.produce(records())
        deployment.wait_until_drained()
        wait_for(lambda: "is published" in said("worker"), PATIENCE_SECONDS, "a model")
        wait_for(lambda: "caught up" in said("worker") and "refused" in said("worker"), PATIENCE_SECONDS, "the worker")
        wait_for(lambda: "caught up" in said("view"), PATIENCE_SECONDS, "the view")
        wait_for(lambda: "503" in said("webhooks"), PATIENCE_SECONDS, "a refused webhook")
        for customer in (CUSTOMERS[0], "person-99@known.example"):
            stack.ask(f"/v1/customers/{customer}/segments")
        stack.ask("/v1/segmentations/value/segments/person-1/customers")
        answer = urllib.request.Request(f"http://127.0.0.1:{stack.api_port}/v1/segmentations")
        answer.add_header("X-Request-Id", "of-this-test")
        urllib.request.urlopen(answer, timeout=30).close()
        for name, process in processes.items():
            process.signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, name

    for name, path in logs.items():
        text = path.read_text("utf-8")
        lines = documents(text)
        assert len(lines) == text.count("\n"), text
        for line in lines:
            assert datetime.fromisoformat(line["time"]).utcoffset() is not None
            assert line["level"] in LEVELS
            assert line["logger"]
        for pattern in TOLD[name]:
            assert any(re.search(pattern, message) for message in messages(text)), (name, pattern, text)
        assert not personal(text), name
    access = [line for line in documents(logs["api"].read_text("utf-8")) if line["logger"].endswith("access_log")]
    (own,) = [line for line in access if line["request_id"] == "of-this-test"]
    assert (own["method"], own["route"], own["status"], own["client"]) == ("GET", "/v1/segmentations", 200, "anybody")
    assert len({line["request_id"] for line in access}) == len(access) > 3
    assert personal(json.dumps([record.value.decode() for record in records() if record.value]))
