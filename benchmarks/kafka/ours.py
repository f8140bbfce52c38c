"""Our worker as a contender: its process, its topics, and what it left behind, counted apart."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.kafka.cluster import APPEND_TIMES, FOR_EVER, PARTITIONS, Cluster, Partitions, covers
from benchmarks.kafka.events import Totals
from benchmarks.kafka.process import ROOT, Measured
from benchmarks.ruled import LISTS, TWENTY
from stream_app.adapters.changelog import FENCE_KEY, POSITION_KEY, PartitionPosition
from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import SECOND_MS
from stream_app.core.customers import CustomerTable

POLL_SECONDS = 0.01
DRAIN_POLL_SECONDS = 0.1
START_SECONDS = 120
DRAIN_SECONDS = 600


@dataclass
class Outcome:
    """What the changelog tells of a run."""

    totals: Totals
    first_row_at: float
    """Seconds since the epoch, as the worker stamped it."""
    covered_at: float
    """When the last partition's position passed the end of its inputs."""
    moves: int
    """Migrations that were published."""


@dataclass
class Worker:
    """A deployment of the worker: one prefix, one application id, one process at a time."""

    cluster: Cluster
    prefix: str
    app_id: str
    folder: Path
    with_rules: bool = False
    """Whether twenty segmentations by rules are there beside the learned one."""
    port: int = field(default_factory=lambda: _free_port())

    @property
    def names(self) -> TopicNames:
        """The deployment's topics."""
        return TopicNames(self.prefix, self.app_id)

    @property
    def outputs(self) -> list[str]:
        """Topics that belong to a run; the inputs stay."""
        names = self.names
        outputs = [names.migrations, names.memberships, names.models, names.samples, names.dead_letters]
        return [*outputs, names.changelog]

    def create_topics(self) -> None:
        """Make all topics anew, as an operator does, and let the broker time the migrations."""
        self.cluster.delete(self.outputs)
        self.cluster.create(dict.fromkeys(self.names.inputs, FOR_EVER))
        command = [sys.executable, "-m", "stream_app", "topics", "create"]
        made = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self._environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if made.returncode:
            lines = (made.stderr or made.stdout).strip().splitlines()
            raise RuntimeError(f"`segmenter topics create`: {lines[-1] if lines else made.returncode}")
        self.cluster.configure(self.names.migrations, APPEND_TIMES)

    def start(self) -> Measured:
        """Start the process."""
        log = self.folder / f"{self.prefix}{self.app_id}.log"
        return Measured(["-m", "stream_app", "worker"], log, self._environment())

    def wait_until_ready(self, process: Measured) -> None:
        """Return as soon as it says that its partitions are recovered."""
        process.wait_for("ready", self._is_ready, START_SECONDS, POLL_SECONDS)

    def wait_until_drained(self, process: Measured) -> Partitions:
        """Return the inputs' ends once the group has reached them."""
        ends = self.cluster.end_offsets(self.names.inputs)
        process.wait_for("drained", lambda: self.has_reached(ends), DRAIN_SECONDS, DRAIN_POLL_SECONDS)
        return ends

    def has_reached(self, ends: Partitions) -> bool:
        """Tell whether the group's offsets are there."""
        return covers(self.cluster.committed(self.names.group), ends)

    def read_outcome(self, ends: Partitions) -> Outcome:
        """Read the changelog: the rows' totals, and when the positions passed the ends."""
        rows: dict[bytes, bytes] = {}
        covered_at = dict.fromkeys(range(PARTITIONS), 0.0)
        first_row_at = float("inf")
        for message in self.cluster.read(self.names.changelog):
            key, value, at = message.key(), message.value(), message.timestamp()[1] / SECOND_MS
            if key == FENCE_KEY or value is None:
                continue
            first_row_at = min(first_row_at, at)
            if key != POSITION_KEY:
                rows[key] = value
                continue
            number = message.partition()
            reached = {(topic, number): offset for topic, offset in PartitionPosition.decode(value).offsets.items()}
            expected = {partition: end for partition, end in ends.items() if partition[1] == number}
            if not covered_at[number] and covers(reached, expected):
                covered_at[number] = at
        assert all(covered_at.values()), "a partition's position does not cover its inputs"
        table = CustomerTable(("value",), [entry["name"] for entry in TWENTY] if self.with_rules else ())
        table.restore_many(list(rows.items()))
        counted = {name: int(table.activity[name].sum()) for name in ("purchases", "refunds", "engagements")}
        totals = Totals(
            events=sum(counted.values()),
            customers=len(rows),
            purchases=counted["purchases"],
            revenue_minor=int(table.activity["revenue_minor"].sum()),
        )
        moves = sum(1 for _ in self.cluster.read(self.names.migrations))
        return Outcome(totals, first_row_at, max(covered_at.values()), moves)

    def _definitions(self) -> Path:
        """Write the file of segmentations."""
        learned = {"kind": "learned", "name": "value"}
        names = {name: f"{name}.csv" for name in LISTS} if self.with_rules else {}
        for name, file in names.items():
            (self.folder / file).write_text("".join(f"{each}\n" for each in LISTS[name]))
        path = self.folder / f"{self.prefix}{self.app_id}.yaml"
        entries = [learned, *(TWENTY if self.with_rules else ())]
        path.write_text(json.dumps({"version": 1, "lists": names, "segmentations": entries}))
        return path

    def _environment(self) -> dict[str, str]:
        return {
            "SEGMENTER_KAFKA__BOOTSTRAP_SERVERS": self.cluster.bootstrap,
            "SEGMENTER_KAFKA__TOPIC_PREFIX": self.prefix,
            "SEGMENTER_KAFKA__APP_ID": self.app_id,
            "SEGMENTER_KAFKA__PARTITIONS": str(PARTITIONS),
            "SEGMENTER_KAFKA__INSTANCE_ID": "bench-0",
            "SEGMENTER_WORKER__HEALTH_PORT": str(self.port),
            "SEGMENTER_SEGMENTATIONS_FILE": str(self._definitions()),
        }

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/ready")
            response = connection.getresponse()
            answer = json.loads(response.read())
            return response.status == 200 and sorted(answer["partitions"]) == list(range(PARTITIONS))
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
