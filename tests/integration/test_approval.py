"""Operators decide on models of real workers: what they approve takes over, once, whatever fails meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_app.exits import ExitCode
from stream_app.simulator.simulation import simulate
from tests.integration.test_worker import BACKTEST, PATIENCE_SECONDS, Deploy, Deployment, Input, deploy, stopped
from tests.support.replays import ROOT

__all__ = ["deploy"]

DAYS = 168
SECTIONS: dict[str, Any] = {
    "kafka": {"partitions": 2, "session_timeout_seconds": 6},
    "worker": BACKTEST,
    "learning": {"approval": "manual", "wait_seconds": 300},
}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Sequence[tuple[str, Input]]:
    """All events of a simulated population with their instants, by time."""
    folder = tmp_path_factory.mktemp("population")
    simulate(300, DAYS, 5, folder)
    timed = []
    for topic in ("purchases", "engagements"):
        for line in gzip.decompress((folder / f"{topic}.jsonl.gz").read_bytes()).splitlines():
            record = json.loads(line)
            timed.append((record["occurred_at"], Input(topic, record["customer_id"].encode(), line)))
    return sorted(timed, key=lambda each: each[0])


class Operator:
    """Runs `segmenter` on a deployment."""

    def __init__(self, deployment: Deployment, history: Sequence[tuple[str, Input]]) -> None:
        self.deployment = deployment
        self._history = history
        self._fed = 0
        self._environment = os.environ | dict(each.split("=", 1) for each in deployment._environment)

    def feed(self, share: float) -> None:
        """Produce the next part of the history, and wait until it is processed and its ticks are decided."""
        until = round(share * len(self._history))
        # At once on both topics: else the one that comes behind is late, and moves by late acts are another matter.
        self.deployment.produce((each for _, each in self._history[self._fed : until]), in_transaction=True)
        self._fed = until
        self.deployment.wait_until_drained()

    def begin(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "stream_app", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *arguments: object) -> tuple[int, str]:
        """Return a command's exit status and what it said."""
        process = self.begin(*arguments)
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, said

    def shown(self) -> dict[str, Any]:
        status, text = self.run("model", "show", "value", "--json")
        assert status == ExitCode.DONE, text
        return dict(json.loads(text)["value"])

    def models(self, key: bytes | None = None) -> list[dict[str, Any]]:
        """Return what stands on the topic of models, under one key or all; an empty object where one was removed."""
        records = self.deployment.read(self.deployment.topics.models)
        return [json.loads(record.value() or b"{}") for record in records if key in (None, record.key())]

    def outcomes(self) -> list[tuple[str, int | None, str, int]]:
        return [
            (each["action"], each["version"], each["status"], each["published_version"])
            for each in self.models(b"~decision/value")
        ]

    def published(self) -> list[int]:
        return [each["version"] for each in self.models(b"value") if each["status"] == "published"]

    def movers(self, version: int) -> set[str]:
        """Return who moved because a version took over."""
        return {
            each["customer_id"]
            for each in self.deployment.values(self.deployment.topics.migrations)
            if each["cause"]["kind"] == "model" and each["model_version"] == version
        }

    def finish(self) -> None:
        """Stop all workers and have state and outputs recounted."""
        self.deployment.wait_until_drained()
        stopped(self.deployment)
        status, text = self.run("verify", "--drained")
        assert status == ExitCode.DONE, text


def test_held_model_is_approved_or_rejected_and_a_version_pinned(
    deploy: Deploy, history: Sequence[tuple[str, Input]]
) -> None:
    deployment = deploy(**SECTIONS)
    operator = Operator(deployment, history)
    deployment.start_worker()
    operator.feed(0.6)
    shown = operator.shown()
    assert (shown["published"]["version"], shown["waiting"]["version"], shown["pinned_version"]) == (1, 2, None)
    assert operator.published() == [0, 1]

    status, said = operator.run("model", "approve", "value", 3)
    assert (status, "version 3 is not held: the model that waits is version 2" in said) == (ExitCode.REFUSED, True), (
        said
    )
    status, said = operator.run("model", "approve", "value", 2, "--by", "Ada")
    assert (status, "version 2 is in force" in said) == (ExitCode.DONE, True), said
    deployment.wait(lambda: bool(operator.movers(2)), "customers who move")
    shown = operator.shown()
    assert (shown["published"]["version"], shown["waiting"]) == (2, None)
    assert shown["last_decision"]["decided_by"] == "Ada"
    status, said = operator.run("model", "approve", "value", 2)
    assert (status, "no model waits" in said) == (ExitCode.REFUSED, True), said

    operator.feed(0.7)
    assert operator.shown()["waiting"]["version"] == 3
    assert operator.run("model", "reject", "value", 3)[0] == ExitCode.DONE
    assert operator.shown()["waiting"] is None
    held = operator.models(b"value/held")
    assert held[-1]["status"] == "rejected"
    assert {} in held, "what was approved waits no more"

    status, said = operator.run("model", "pin", "value", 1)
    assert (status, "version 3 is in force, version 1 is pinned" in said) == (ExitCode.DONE, True), said
    deployment.wait(lambda: bool(operator.movers(3)), "customers who move back")
    frames = {each["version"]: each["frame"] for each in operator.models(b"value")}
    assert frames[3] == frames[1] != frames[2]
    operator.feed(0.8)
    shown = operator.shown()
    assert (shown["published"]["version"], shown["waiting"]["version"], shown["pinned_version"]) == (3, 4, 1)
    status, said = operator.run("model", "approve", "value", 4)
    assert (status, "version 1 is pinned" in said) == (ExitCode.REFUSED, True), said
    assert operator.run("model", "unpin", "value")[0] == ExitCode.DONE
    assert operator.run("model", "approve", "value", 4)[0] == ExitCode.DONE
    operator.feed(1)
    assert operator.published() == [0, 1, 2, 3, 4]
    assert operator.outcomes() == [
        ("approve", 3, "refused", 1),
        ("approve", 2, "done", 2),
        ("approve", 2, "refused", 2),
        ("reject", 3, "done", 2),
        ("pin", 1, "done", 3),
        ("approve", 4, "refused", 3),
        ("unpin", None, "done", 3),
        ("approve", 4, "done", 4),
    ]
    assert "approve value 2, decided by 'Ada', is done" in deployment.workers[0].log()
    assert "is refused: version 1 is pinned" in deployment.workers[0].log()
    operator.finish()


def test_decision_is_carried_out_once_though_workers_are_killed(
    deploy: Deploy, history: Sequence[tuple[str, Input]]
) -> None:
    deployment = deploy(**SECTIONS)
    operator = Operator(deployment, history)
    deployment.start_worker()
    operator.feed(0.5)
    deployment.workers[-1].signal(signal.SIGSTOP)  # between the decision and its outcome
    approving = operator.begin("model", "approve", "value", 2, "--timeout", PATIENCE_SECONDS)
    samples = deployment.topics.samples
    deployment.wait(lambda: any("kind" in each for each in deployment.values(samples)), "the decision")
    deployment.workers.pop().kill()
    deployment.start_worker()
    said, _ = approving.communicate(timeout=PATIENCE_SECONDS)
    assert approving.returncode == ExitCode.DONE, said
    deployment.workers.pop().kill()  # what it read may not be committed in the group

    status, said = operator.run("model", "pin", "value", 1, "--timeout", 1)
    assert (status, "no worker has carried it out within 1 s" in said) == (ExitCode.FAILED, True), said
    deployment.start_worker()
    deployment.wait(lambda: operator.shown()["pinned_version"] == 1, "the pin")
    deployment.workers.pop().kill()
    for _ in range(2):
        deployment.begin_worker()
    operator.feed(0.7)
    assert operator.run("model", "unpin", "value")[0] == ExitCode.DONE
    deployment.workers.pop(0).kill()
    assert operator.run("model", "approve", "value", 4, "--timeout", PATIENCE_SECONDS)[0] == ExitCode.DONE
    operator.feed(1)
    assert operator.published() == [0, 1, 2, 3, 4]
    assert operator.outcomes() == [
        ("approve", 2, "done", 2),
        ("pin", 1, "done", 3),
        ("unpin", None, "done", 3),
        ("approve", 4, "done", 4),
    ]
    operator.finish()


def test_what_cannot_be_decided_is_refused_in_one_line(deploy: Deploy) -> None:
    deployment = deploy(**SECTIONS)
    operator = Operator(deployment, [])
    status, said = operator.run("model", "approve", "value", 1)
    assert (status, said) == (ExitCode.REFUSED, "segmenter: there is no segmentation 'value'; there are: none yet\n")
    assert operator.run("model", "show") == (ExitCode.DONE, "")


def test_topics_that_are_missing_and_brokers_that_do_not_answer_are_named(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    operator = Operator(Deployment(kafka, topic_prefix, tmp_path), [])
    status, said = operator.run("model", "show")
    assert (status, said.count("\n"), "segment-models is missing" in said) == (ExitCode.REFUSED, 1, True), said
    operator = Operator(Deployment("127.0.0.1:1", topic_prefix, tmp_path), [])
    status, said = operator.run("model", "unpin", "value")
    assert (status, said.count("\n"), "no Kafka broker answers" in said) == (ExitCode.FAILED, 1, True), said
