"""How soon our worker is ready again after kill -9, and the memory that a customer takes.

It is killed while input is pending and started again at once under the same instance id. Memory is the growth of the
process from ready without customers to ready again with all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.events import Events, draw_events, draw_first_purchases, produce
from benchmarks.kafka.ours import Worker
from benchmarks.kafka.throughput import produced_inputs

PENDING_EVENTS = 50_000
KILL_AFTER_SECONDS = 0.1


@dataclass(frozen=True)
class Recovery:
    """CustomerFigures of one kill."""

    customers: int
    seconds: float
    """From the start of the new process to readiness."""
    bytes_per_customer: float


def measure_recovery(cluster: Cluster, customers: int, folder: Path) -> Recovery:
    """Fill a worker with customers, kill it, and start it again.

    Raises
    ------
    RuntimeError
        If it fails, was idle when it was killed, or does not end with the right totals.
    """
    prefix = f"recovery-{customers}-"
    cluster.create(produced_inputs(prefix))
    worker = Worker(cluster, prefix, "worker", folder)
    worker.create_topics()
    process = worker.start()
    try:
        worker.wait_until_ready(process)
        empty_bytes = process.resident_bytes()
        first = draw_first_purchases(customers)
        produce(cluster.bootstrap, first.records(prefix))
        worker.wait_until_drained(process)
        pending = draw_events(PENDING_EVENTS, customers, seed=2)
        produce(cluster.bootstrap, pending.records(prefix))
        time.sleep(KILL_AFTER_SECONDS)
    finally:
        process.kill()
    if worker.has_reached(cluster.end_offsets(worker.names.inputs)):
        raise RuntimeError("killed too late: no input was pending")
    process = worker.start()
    try:
        worker.wait_until_ready(process)
        seconds = process.now() - process.started_at
        full_bytes = process.resident_bytes()
        ends = worker.wait_until_drained(process)
    finally:
        process.stop()
    _check(worker, ends, first, pending)
    return Recovery(customers, seconds, (full_bytes - empty_bytes) / customers)


def _check(worker: Worker, ends: dict[tuple[str, int], int], first: Events, pending: Events) -> None:
    counted = worker.read_outcome(ends).totals
    once, then = first.totals(), pending.totals()
    expected = once._replace(
        events=once.events + then.events,
        purchases=once.purchases + then.purchases,
        revenue_minor=once.revenue_minor + then.revenue_minor,
    )
    if counted != expected:
        raise RuntimeError(f"counted {counted} after the kill, expected {expected}")
