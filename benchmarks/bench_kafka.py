"""Measures the worker on Kafka against a bare loop, loops written by hand, and Faust as its documentation does it.

One broker, one set of events for all; each contender in a process and a group of its own, the contenders alternating.
Ends with status 1 if a goal is missed, and with 2 if a contender fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.kafka import report
from benchmarks.kafka.cluster import Cluster
from benchmarks.kafka.events import Totals, draw_events, produce
from benchmarks.kafka.latency import measure_latency
from benchmarks.kafka.recovery import measure_recovery
from benchmarks.kafka.throughput import CONTENDERS, Contender, produced_inputs, run_round
from tests.support.kafka import KafkaBroker

CUSTOMERS = 20_000
FAILED = 2


def parse_options() -> argparse.Namespace:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--skip-latency", action="store_true")
    parser.add_argument("--latency-seconds", type=int, default=20)
    parser.add_argument("--skip-recovery", action="store_true")
    parser.add_argument("--recovery-customers", type=int, nargs="+", default=[100_000])
    parser.add_argument("--bootstrap", help="a broker that is there, and has no topics yet; else one is started")
    parser.add_argument("--logs", type=Path, help="keep the contenders' logs in this folder")
    return parser.parse_args()


@contextmanager
def running_broker(bootstrap: str | None, folder: Path) -> Iterator[str]:
    if bootstrap:
        yield bootstrap
        return
    with KafkaBroker(folder / "broker", heap_mebibytes=1024) as broker:
        yield broker.bootstrap_servers


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Bench:
    """The phases; a contender that fails is told and left out, the others go on."""

    def __init__(self, cluster: Cluster, options: argparse.Namespace, folder: Path) -> None:
        self._cluster = cluster
        self._options = options
        self._folder = folder
        self._contenders = [contender for contender in CONTENDERS if contender.name in options.only]
        self.results = report.Results()

    def throughput(self) -> None:
        """Let the contenders drain the same events by turns."""
        counts = {min(self._options.events, contender.events_max or sys.maxsize) for contender in self._contenders}
        expected = {count: self._produce(count) for count in sorted(counts)}
        failed: set[Contender] = set()
        for number in range(1, self._options.rounds + 1):
            for contender in self._contenders:
                if contender in failed:
                    continue
                count = min(self._options.events, contender.events_max or sys.maxsize)
                try:
                    run = run_round(self._cluster, contender, f"events-{count}-", expected[count], number, self._folder)
                except RuntimeError as error:
                    failed.add(contender)
                    self._note(contender.name, error)
                    continue
                self.results.runs.setdefault(contender.name, []).append(run)
                tell(f"round {number}: {contender.name}: {run.events_per_second:,.0f}/s, {run.cpu_seconds:.2f} CPU s/M")

    def latency(self) -> None:
        """Pace events to each contender that emits migrations."""
        for contender in self._contenders:
            if not contender.has_outputs:
                continue
            try:
                latency = measure_latency(self._cluster, contender, self._options.latency_seconds, self._folder)
            except RuntimeError as error:
                self._note(f"{contender.name}, latency", error)
                continue
            self.results.latencies[contender.name] = latency
            tell(f"latency: {contender.name}: p50 {latency.append_p50:.1f}, p99 {latency.append_p99:.1f} ms")

    def recovery(self) -> None:
        """Kill our worker with so many customers."""
        for customers in self._options.recovery_customers:
            try:
                self.results.recoveries.append(measure_recovery(self._cluster, customers, self._folder))
            except RuntimeError as error:
                self._note(f"recovery with {customers:,} customers", error)

    def _produce(self, count: int) -> Totals:
        events = draw_events(count, CUSTOMERS)
        prefix = f"events-{count}-"
        self._cluster.create(produced_inputs(prefix))
        sent = produce(self._cluster.bootstrap, events.records(prefix))
        expected = events.totals()
        tell(f"{sent:,} events of {expected.customers:,} customers produced")
        return expected

    def _note(self, what: str, error: RuntimeError) -> None:
        self.results.failures.append(f"{what}: {error}")
        tell(self.results.failures[-1])


def print_results(results: report.Results, events: int, busy: float) -> None:
    print(f"\n{os.cpu_count()} processors, load of other work at the start {busy:.1f} (above 0.5, distrust the times)")
    print(f"\nDraining {events:,} events (best of the rounds)\n\n{report.throughput_table(results)}")
    if results.latencies:
        print(f"\nLatency at 1,000 events/s\n\n{report.latency_table(results)}")
    if results.recoveries:
        print(f"\nRecovery after kill -9\n\n{report.recovery_table(results)}")
    print(f"\nGoals of the worker\n\n{report.goals_table(report.goals(results))}")
    for failure in results.failures:
        print(f"\nFAILED: {failure}")


def main() -> None:
    options = parse_options()
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        logs = options.logs or folder
        logs.mkdir(parents=True, exist_ok=True)
        with running_broker(options.bootstrap, folder) as bootstrap:
            bench = Bench(Cluster(bootstrap), options, logs)
            bench.throughput()
            if not options.skip_latency:
                bench.latency()
            if not options.skip_recovery and "ours" in options.only:
                bench.recovery()
    print_results(bench.results, options.events, busy)
    if bench.results.failures:
        sys.exit(FAILED)
    sys.exit(any(goal.measured is not None and not goal.is_met for goal in report.goals(bench.results)))


if __name__ == "__main__":
    main()
