"""All commands on real servers, scraped by a real Prometheus: alerts and the dashboard find all that they ask for."""

from __future__ import annotations

import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import yaml

from deploy.grafana import dashboard
from stream_app.adapters.metrics.declaration import SERIES_MAX
from stream_app.adapters.metrics.declared import DECLARED
from stream_app.simulator.simulation import Faults, simulate
from tests.deploy.monitoring import RULES, metrics_used
from tests.integration.test_worker import Deployment, inputs_of
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.replays import ROOT
from tests.support.servers import PrometheusServer, RedisServer
from tests.webhooks.receiver import Receiver, Reply

PATIENCE_SECONDS = 300
SEGMENTS = "/v1/segmentations/value/segments"
SECRET = "whsec_bWV0cmljcy1vZi1hLXJ1bm5pbmctc3RhY2stMDAwMQ=="
CONFIGURED = [
    {"name": "value", "kind": "learned"},
    {"name": "visits", "kind": "learned", "hysteresis": 0.2},
    {
        "name": "offers",
        "kind": "rules",
        "segments": [
            {"id": "active", "name": "Active", "when": {"figure": "recency_days", "less_than": 7}},
        ],
        "otherwise": {"id": "quiet", "name": "Quiet"},
    },
]
SEGMENTATIONS = {str(each["name"]) for each in CONFIGURED}


class Stack:
    """A worker, the view, the API and the webhooks, each with a port for its health and metrics."""

    def __init__(self, deployment: Deployment, folder: Path, redis: RedisServer, receiver: Receiver) -> None:
        subscriptions = folder / "webhooks.yaml"
        hooks = [
            {"name": name, "url": f"{receiver.url}/{name}", "secret": SECRET} for name in ("accepting", "refusing")
        ]
        subscriptions.write_text(yaml.safe_dump({"subscriptions": hooks}), "utf-8")
        self.api_port = free_port()
        self.ports = {name: free_port() for name in ("view", "api", "webhooks")}
        self._folder = folder
        self._environment = [
            *deployment._environment,
            f"SEGMENTER_REDIS__URL=redis://127.0.0.1:{redis.port}/0",
            f"SEGMENTER_API__PORT={self.api_port}",
            "SEGMENTER_API__ALLOW_ANONYMOUS=true",
            f"SEGMENTER_WEBHOOKS__SUBSCRIPTIONS_FILE={subscriptions}",
            "SEGMENTER_WEBHOOKS__ALLOWED_NETWORKS=127.0.0.0/8",
            "SEGMENTER_WEBHOOKS__ALLOW_HTTP=true",
            *(f"SEGMENTER_{name.upper()}__HEALTH_PORT={port}" for name, port in self.ports.items()),
        ]
        deployment.start_worker()
        self.ports["worker"] = deployment._ports[-1]

    def start(self, name: str) -> ServerProcess:
        command = ["env", "-C", ROOT, *self._environment, sys.executable, "-m", "stream_app", name]
        process = ServerProcess(command, self._folder / f"{name}.log")
        process.start()
        return process

    def ask(self, path: str) -> None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}{path}", timeout=5) as answer:
            answer.read()


@pytest.fixture
def deployment(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    """Small samples, so that there are many models to compare, of which some wait for an operator."""
    learning = {"tick_days": 7, "sample_size": 200, "approval": "manual"}
    weekly = {"sweep_interval_seconds": 604_800}
    worker = {"clock": "event"}
    made = Deployment(kafka, topic_prefix, tmp_path, CONFIGURED, worker=worker, learning=learning, assignment=weekly)
    made.create_topics()
    yield made
    made.discard()


def test_every_metric_that_an_alert_or_the_dashboard_uses_is_there_with_data(
    deployment: Deployment, tmp_path: Path
) -> None:
    simulate(400, 60, 7, tmp_path / "events", faults=Faults(duplicate_rate=0.02, malformed_rate=0.02, late_rate=0.02))
    refusing = {"/refusing": lambda *_: Reply(503)}
    with ExitStack() as running:
        redis = running.enter_context(RedisServer(tmp_path / "redis"))
        stack = Stack(deployment, tmp_path, redis, running.enter_context(Receiver(refusing)))
        processes = {name: stack.start(name) for name in ("view", "api", "webhooks")}
        for process in processes.values():
            running.callback(process.discard)
        jobs = {f"segmenter-{name}": f"127.0.0.1:{port}" for name, port in stack.ports.items()}
        prometheus = running.enter_context(PrometheusServer(tmp_path / "prometheus", jobs, RULES))
        wait_for(lambda: len(prometheus.query("up == 1")) == len(jobs), PATIENCE_SECONDS, "four targets")
        # In a transaction, whose markers are no records: they are no lag either.
        deployment.produce(inputs_of(tmp_path / "events", deployment.settings), in_transaction=True)
        deployment.wait_until_drained()

        def missing() -> set[str]:
            for process in processes.values():
                assert process.is_running, process.log_tail()
            stack.ask(SEGMENTS)
            return {name for name in metrics_used() if not has_data(prometheus, name)}

        redis.process.signal(signal.SIGKILL)  # a Redis that is away is counted
        with_errors = {"segmenter_redis_errors_total"}
        wait_for(lambda: not with_errors & missing(), PATIENCE_SECONDS, "errors of Redis")
        redis.process.wait(PATIENCE_SECONDS)
        redis.start()
        still: list[set[str]] = []

        def is_complete() -> bool:
            still.append(missing())
            return not still[-1]

        try:
            wait_for(is_complete, PATIENCE_SECONDS, "every metric")
        except TimeoutError as error:
            raise AssertionError(f"without data: {sorted(still[-1])}") from error
        assert_judged(prometheus)
        assert_drawn(prometheus, stack)
        assert_counted(prometheus, deployment)
        assert_bounded(jobs)


def has_data(prometheus: PrometheusServer, name: str) -> bool:
    return bool(prometheus.query(f'{{__name__=~"{name}(_count)?"}}'))


def assert_judged(prometheus: PrometheusServer) -> None:
    """Check that every rule can be evaluated, and that nothing is said to be down."""
    judged = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError", "") for rule in judged if rule["health"] != "ok"} == {}
    firing = {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}
    assert "SegmenterDown" not in firing


def assert_drawn(prometheus: PrometheusServer, stack: Stack) -> None:
    """Check that every expression of the dashboard has an answer.

    Left out are those about more time than has passed, pinned versions, deliveries given up, segments of a level that
    nobody may have entered, and alerts.
    """
    absent = ("offset", "ratio_rate1h", "segmenter_model_pinned", 'outcome="dead"', "level=~", "ALERTS")
    expected = [expr for expr in dashboard.expressions() if not any(word in expr for word in absent)]

    def empty() -> list[str]:
        stack.ask(SEGMENTS)  # rates are of what is asked between two scrapes
        return [expr for expr in expected if not prometheus.query(expr)]

    with suppress(TimeoutError):  # a rate takes two scrapes
        wait_for(lambda: not empty(), PATIENCE_SECONDS, "data in every panel")
    assert empty() == []


def assert_counted(prometheus: PrometheusServer, deployment: Deployment) -> None:
    """Compare what was counted with what is in the topics."""

    def total(expression: str) -> int:
        return int(prometheus.query(f"sum({expression})")[0]["value"][1].partition(".")[0])

    topics = deployment.topics
    wait_for(lambda: total("segmenter_consumer_lag_records") == 0, PATIENCE_SECONDS, "no lag")
    produced = sum(len(deployment.read(topic)) for topic in topics.inputs)
    assert total("segmenter_events_total") == produced
    letters = len(deployment.read(topics.dead_letters))
    assert total("segmenter_dead_letters_total") == letters > 0
    assert total("segmenter_end_to_end_latency_seconds_count{sink='kafka'}") == produced

    def totals(metric: str) -> Counter[str]:
        found = prometheus.query(f"sum by (segmentation) ({metric})")
        return Counter({each["metric"]["segmentation"]: int(each["value"][1]) for each in found})

    def written(topic: str, *names: str) -> Counter[str]:
        distinct = {tuple(each[name] for name in names) for each in deployment.values(topic)}
        return Counter(segmentation for segmentation, *_ in distinct)

    def is_quiet() -> bool:  # a model may still move customers, and they are counted before they are written
        return totals("segmenter_migrations_total") == written(topics.migrations, "segmentation", "migration_id")

    with suppress(TimeoutError):
        wait_for(is_quiet, PATIENCE_SECONDS, "migrations that are written")
    migrations = written(topics.migrations, "segmentation", "migration_id")
    assert totals("segmenter_migrations_total") == migrations
    assert totals("segmenter_customers") == written(topics.memberships, "segmentation", "customer_id")
    assert migrations.keys() == totals("segmenter_customers").keys() == SEGMENTATIONS
    assert totals("segmenter_model_info").keys() == SEGMENTATIONS
    customers = {each["customer_id"] for each in deployment.values(topics.memberships)}
    assert total("segmenter_table_entries") == len(customers) > 0


def assert_bounded(jobs: Mapping[str, str]) -> None:
    """Check that each process keeps within its budget, and that what it exports is declared."""
    declared = {each.name for each in DECLARED}
    for address in jobs.values():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        assert sum(not line.startswith("#") for line in lines) <= SERIES_MAX
        named = {line.split()[2] for line in lines if line.startswith("# TYPE segmenter_")}
        assert {name for name in named if not name.startswith("segmenter_process_")} <= declared
