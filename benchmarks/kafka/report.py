"""Tables of the figures, as Markdown, and the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.kafka.latency import Latency
from benchmarks.kafka.recovery import Recovery
from benchmarks.kafka.throughput import CONTENDERS, Run

READY_CUSTOMERS = 1_000_000
MEBIBYTE = 1 << 20


@dataclass
class Results:
    """Everything that was measured; what is missing was skipped or failed."""

    runs: dict[str, list[Run]] = field(default_factory=dict)
    latencies: dict[str, Latency] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def rate(self, name: str) -> float | None:
        """Return the best round's events per second."""
        return max((run.events_per_second for run in self.runs.get(name, [])), default=None)

    def cpu(self, name: str) -> float | None:
        """Return the best round's processor seconds for a million events."""
        return min((run.cpu_seconds for run in self.runs.get(name, [])), default=None)


@dataclass(frozen=True)
class Goal:
    """What was wanted, and what came of it."""

    what: str
    wanted: str
    measured: float | None
    is_met: bool
    unit: str = ""

    def row(self) -> list[str]:
        """Return the table's row."""
        if self.measured is None:
            return [self.what, self.wanted, "not measured", ""]
        return [self.what, self.wanted, f"{self.measured:,.2f}{self.unit}", "met" if self.is_met else "MISSED"]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up."""
    lines = [list(headings), ["-" * len(heading) for heading in headings], *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    lines[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def throughput_table(results: Results) -> str:
    """Return the best of the rounds, the rates of all rounds beside it."""
    limit_rate, limit_cpu = results.rate("limit"), results.cpu("limit")
    rows = []
    for contender in CONTENDERS:
        runs = results.runs.get(contender.name)
        if not runs:
            continue
        rate, cpu = results.rate(contender.name), results.cpu(contender.name)
        assert rate is not None
        assert cpu is not None
        rows.append(
            [
                contender.title,
                f"{runs[0].events:,}",
                f"{rate:,.0f}",
                ratio_text(rate, limit_rate, 3),
                f"{cpu:,.2f}",
                ratio_text(cpu, limit_cpu, 1),
                f"{max(run.peak_bytes for run in runs) / MEBIBYTE:,.0f}",
                " ".join(f"{run.events_per_second / 1000:,.1f}" for run in runs),
            ]
        )
    headings = ["contender", "events", "events/s", "÷ limit", "CPU s/million", "÷ limit", "peak MiB", "rounds, 1000/s"]
    return table(headings, rows)


def latency_table(results: Results) -> str:
    """Return milliseconds from produce."""
    rows = [
        [
            contender.title,
            f"{found.migrations:,}",
            *(f"{value:,.1f}" for value in (found.append_p50, found.append_p99, found.seen_p50, found.seen_p99)),
        ]
        for contender in CONTENDERS
        if (found := results.latencies.get(contender.name))
    ]
    headings = ["ms from produce to", "migrations", "append p50", "append p99", "seen p50", "seen p99"]
    return table(headings, rows)


def recovery_table(results: Results) -> str:
    """Return what a kill costs."""
    rows = [
        [f"{found.customers:,}", f"{found.seconds:.2f}", f"{found.bytes_per_customer:,.0f}"]
        for found in results.recoveries
    ]
    return table(["customers", "seconds from start to ready", "bytes of memory per customer"], rows)


def goals(results: Results) -> list[Goal]:
    """Return the goals with what was measured."""
    rate, cpu = results.rate("ours"), results.cpu("ours")
    moves = next((run.moves_an_event for run in results.runs.get("rules", []) if run.moves_an_event), None)
    with_rules = "rate with 20 by rules ÷ without" + (f", {moves:.2f} moves an event" if moves else "")
    latency = results.latencies.get("ours")
    found = [
        _at_least("rate ÷ limit", 0.5, _ratio(rate, results.rate("limit"))),
        _at_least("rate ÷ limit with librdkafka's defaults", 0.5, _ratio(rate, results.rate("limit-defaults"))),
        _at_least(with_rules, 0.7, _ratio(results.rate("rules"), rate)),
        _at_most("CPU ÷ limit", 4, _ratio(cpu, results.cpu("limit"))),
        _at_most("CPU ÷ limit with librdkafka's defaults", 2, _ratio(cpu, results.cpu("limit-defaults"))),
        _at_least("rate ÷ aiokafka by hand", 1, _ratio(rate, results.rate("plain"))),
        _at_least("Faust's CPU ÷ ours", 30, _ratio(results.cpu("faust"), cpu)),
        _at_most("p99 from produce to append", 60, latency.append_p99 if latency else None, " ms"),
    ]
    for recovery in results.recoveries:
        limit = 5 if recovery.customers <= READY_CUSTOMERS else 15
        found.append(_at_most(f"ready again, {recovery.customers:,} customers", limit, recovery.seconds, " s"))
        what = f"memory of a customer, of {recovery.customers:,}"
        found.append(_at_most(what, 1000, recovery.bytes_per_customer, " bytes"))
    return found


def goals_table(found: Sequence[Goal]) -> str:
    """Return met or missed."""
    return table(["goal", "wanted", "measured", ""], [goal.row() for goal in found])


def ratio_text(value: float, reference: float | None, digits: int) -> str:
    """Return a quotient, or nothing without a reference."""
    return "" if reference is None else f"{value / reference:,.{digits}f}"


def _ratio(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value / reference


def _at_least(what: str, wanted: float, measured: float | None, unit: str = "") -> Goal:
    return Goal(what, f">= {wanted:,}{unit}", measured, measured is not None and measured >= wanted, unit)


def _at_most(what: str, wanted: float, measured: float | None, unit: str = "") -> Goal:
    return Goal(what, f"<= {wanted:,}{unit}", measured, measured is not None and measured <= wanted, unit)
