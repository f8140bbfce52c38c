"""How fast a contender drains the inputs, and at what cost.

The clock starts with the first batch that a contender has fetched and stops when the last event is processed and
durable, as far as it makes things durable. The worker does not say when it fetches first: its clock starts earlier,
when it says that it is ready. Processor time is that of the whole process from ready to drained, start-up left out,
read from /proc for all alike. Peak memory is that of the process's whole life.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.kafka.cluster import APPEND_TIMES, COMPACTED, FOR_EVER, Cluster
from benchmarks.kafka.events import Totals
from benchmarks.kafka.ours import DRAIN_SECONDS, START_SECONDS, Worker
from benchmarks.kafka.process import Measured


@dataclass(frozen=True)
class Contender:
    """A way to process events; without arguments it is our worker."""

    name: str
    title: str
    arguments: tuple[str, ...] = ()
    has_outputs: bool = True
    events_max: int | None = None
    with_rules: bool = False
    """Of our worker: whether twenty segmentations by rules are there."""

    @property
    def is_ours(self) -> bool:
        """Tell whether it is our worker."""
        return not self.arguments

    def start(self, cluster: Cluster, inputs: str, outputs: str, events: int, folder: Path) -> Measured:
        """Start the process of a contender that is not ours, its topics made."""
        if self.has_outputs:
            cluster.create({outputs + "changelog": COMPACTED, outputs + "migrations": APPEND_TIMES})
        options = ["--bootstrap", cluster.bootstrap, "--inputs", inputs, "--outputs", outputs, "--events", str(events)]
        return Measured(["-m", *self.arguments, *options], folder / f"{outputs}.log")


CONTENDERS = (
    Contender("limit", "limit: bare loop on librdkafka", ("benchmarks.kafka.limit",), has_outputs=False),
    Contender(
        "limit-defaults",
        "the same with librdkafka's defaults",
        ("benchmarks.kafka.limit", "--defaults"),
        has_outputs=False,
    ),
    Contender("plain", "aiokafka by hand", ("benchmarks.kafka.aiokafka_loop",)),
    Contender(
        "transactions",
        "aiokafka by hand, transactions",
        ("benchmarks.kafka.aiokafka_loop", "--transactions"),
    ),
    Contender("faust", "Faust as documented", ("benchmarks.kafka.faust_app",), events_max=20_000),
    Contender("ours", "segmenter worker"),
    Contender("rules", "the same with 20 by rules", with_rules=True),
)


@dataclass(frozen=True)
class Run:
    """One contender's figures in one round."""

    events: int
    events_per_second: float
    cpu_seconds: float
    """For a million events."""
    peak_bytes: int
    moves_an_event: float | None = None
    """Of our worker: how many migrations it has published."""


def run_round(cluster: Cluster, contender: Contender, inputs: str, expected: Totals, number: int, folder: Path) -> Run:
    """Let a contender drain the inputs from the start.

    Raises
    ------
    RuntimeError
        If it fails, or did not count what was produced.
    """
    if contender.is_ours:
        return _run_ours(Worker(cluster, inputs, f"{contender.name}-{number}", folder, contender.with_rules), expected)
    outputs = f"{contender.name}-{number}-"
    process = contender.start(cluster, inputs, outputs, expected.events, folder)
    try:
        ready = process.wait_for_mark("ready", START_SECONDS)["at_seconds"]
        drained = process.wait_for_mark("drained", DRAIN_SECONDS)
        fetched = process.wait_for_mark("fetched", 1)["at_seconds"]
    finally:
        process.stop()
    _check(Totals(**{name: drained[name] for name in Totals._fields}), expected)
    written = [topic for topic in cluster.topics() if topic.startswith(outputs)]
    changelogs = [topic for topic in written if topic.endswith("changelog")]
    if contender.has_outputs and sum(cluster.end_offsets(changelogs).values()) < expected.events:
        raise RuntimeError("a row of the changelog is missing")
    cluster.delete(written)
    return _figures(process, expected.events, ready, fetched, drained["at_seconds"])


def _run_ours(worker: Worker, expected: Totals) -> Run:
    worker.create_topics()
    process = worker.start()
    try:
        worker.wait_until_ready(process)
        ready = process.now()
        ends = worker.wait_until_drained(process)
    finally:
        process.stop()
    outcome = worker.read_outcome(ends)
    _check(outcome.totals, expected)
    worker.cluster.delete(worker.outputs)
    started = min(ready, outcome.first_row_at)
    run = _figures(process, expected.events, started, started, outcome.covered_at)
    return replace(run, moves_an_event=outcome.moves / expected.events)


def _check(counted: Totals, expected: Totals) -> None:
    if counted != expected:
        raise RuntimeError(f"counted {counted}, expected {expected}")


def _figures(process: Measured, events: int, ready: float, fetched: float, drained: float) -> Run:
    cpu_seconds = process.cpu_seconds(ready, drained) / events * 1e6
    return Run(events, events / (drained - fetched), cpu_seconds, process.peak_bytes)


def produced_inputs(prefix: str) -> dict[str, dict[str, str]]:
    """Return the input topics to create under a prefix."""
    return {prefix + topic: FOR_EVER for topic in ("purchases", "engagements")}
