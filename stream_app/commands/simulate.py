"""`segmenter simulate`: write a population of which the truth is known."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from stream_app.simulator.simulation import Faults, simulate


@click.command(name="simulate")
@click.option("--customers", type=int, default=6000, show_default=True, help="Number of customers.")
@click.option("--days", type=int, default=540, show_default=True, help="True changes need at least 110 days.")
@click.option("--seed", type=int, default=0, show_default=True, help="Fixes every random choice.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("simulated"), show_default=True, help="Folder to write to."
)
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), default="2024-01-01", show_default=True, help="First day, in UTC."
)
@click.option("--refund-rate", type=float, default=0.03, show_default=True, help="Share of orders refunded, 0 to 1.")
@click.option("--duplicate-rate", type=float, default=0.0, show_default=True, help="Share of events that are repeated.")
@click.option(
    "--malformed-rate", type=float, default=0.0, show_default=True, help="Share of events repeated as a malformed copy."
)
@click.option(
    "--late-rate", type=float, default=0.0, show_default=True, help="Share of events that arrive up to 3 days late."
)
def simulate_command(
    customers: int,
    days: int,
    seed: int,
    out: Path,
    start: datetime,
    refund_rate: float,
    duplicate_rate: float,
    malformed_rate: float,
    late_rate: float,
) -> None:
    """Write a population with known latent types and known change points, and the truth beside it."""
    faults = Faults(duplicate_rate=duplicate_rate, malformed_rate=malformed_rate, late_rate=late_rate)
    first_day: date = start.date()
    counts = simulate(customers, days, seed, out, first_day, refund_rate, faults)
    click.echo(
        f"{counts.events:,} events of {counts.customers:,} customers with {counts.changes:,} true changes in {out}"
    )
