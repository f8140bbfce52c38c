"""`segmenter simulate`: write a population of which the truth is known."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from stream_app.plurals import counted
from stream_app.report.progress import Progress
from stream_app.simulator.populations import POPULATIONS
from stream_app.simulator.simulation import Faults, simulate


@click.command(name="simulate")
@click.option(
    "--population",
    type=click.Choice(list(POPULATIONS)),
    default="shop",
    show_default=True,
    help="Who is simulated; docs/commands.md says what is true of each.",
)
@click.option(
    "--customers", type=int, help="Number of customers; 6,000 of a shop, 500 to 2,000 of others where none is given."
)
@click.option(
    "--days", type=int, help="540 of a shop, 365 of others where none is given; true changes need at least 110."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes every random choice.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("simulated"), show_default=True, help="Folder to write to."
)
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), default="2024-01-01", show_default=True, help="First day, in UTC."
)
@click.option(
    "--refund-rate", type=float, help="Share of orders refunded, 0 to 1; 0.03 of a shop, where none is given."
)
@click.option("--duplicate-rate", type=float, default=0.0, show_default=True, help="Share of events that are repeated.")
@click.option(
    "--malformed-rate", type=float, default=0.0, show_default=True, help="Share of events repeated as a malformed copy."
)
@click.option(
    "--late-rate", type=float, default=0.0, show_default=True, help="Share of events that arrive up to 3 days late."
)
@click.option(
    "--restated-rate", type=float, default=0.0, show_default=True, help="Share of orders that are told again."
)
def simulate_command(
    population: str,
    customers: int | None,
    days: int | None,
    seed: int,
    out: Path,
    start: datetime,
    refund_rate: float | None,
    duplicate_rate: float,
    malformed_rate: float,
    late_rate: float,
    restated_rate: float,
) -> None:
    """Write a population with known latent types and known change points, and the truth beside it."""
    faults = Faults(duplicate_rate, malformed_rate, late_rate, restated_rate)
    first_day: date = start.date()
    kind = POPULATIONS[population]
    number = kind.customers if customers is None else customers
    span_days = kind.days if days is None else days
    writing: list[Progress] = []

    def watch(done: int, total: int, at_ms: int) -> None:
        if not total:
            click.echo(f"drawing {counted(number, 'customer')} over {counted(span_days, 'day')} …")
            return
        if not done:
            click.echo(f"writing {counted(total, 'record')} to {out} …")
            writing.append(Progress(total, click.echo, "written"))
        writing[0].note(done, done, at_ms)

    counts = simulate(number, span_days, seed, out, first_day, refund_rate, faults, kind, watch)
    click.echo(
        f"{counted(counts.events, 'event')} of {counted(counts.customers, 'customer')} with "
        f"{counted(counts.changes, 'true change')} in {out}"
    )
    click.echo(kind.truth)
