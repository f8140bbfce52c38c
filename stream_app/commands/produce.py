"""`segmenter produce`: put files of events on Kafka."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from stream_app.adapters.kafka_client import quieten_clients
from stream_app.adapters.producing import FilesProducer, Pace, now_ms
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.commands.exits import EXIT_INTERRUPTED
from stream_app.commands.input_files import takes_input_files
from stream_app.settings import load_settings

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@takes_input_files(_FILE, "JSON lines, plain or .gz; may be given several times.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Records per second.  [default: no limit]")
@click.option("--live", type=click.IntRange(min=0), help="Hold only the last so many records to --rate.")
@click.option("--shift-to-now", is_flag=True, help="Move all times so that the newest event happens now.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings as TOML.")
def produce(
    files: Mapping[str, Sequence[Path]],
    rate: float | None,
    live: int | None,
    shift_to_now: bool,
    config: Path | None,
) -> None:
    """Put events from files on the topics, merged by time, keyed and partitioned as workers want them."""
    settings = load_settings(config)
    names = create_topic_names(settings)
    quieten_clients(logging.CRITICAL)  # the error that a command ends with says the same, once
    producer = FilesProducer(
        create_connection(settings),
        {names.input_topic(contract): paths for contract, paths in files.items()},
        Pace(rate, live, now_ms() if shift_to_now else None),
    )
    finished = asyncio.run(_run(producer))
    counts = " and ".join(f"{producer.sent[name]:,} records to {name}" for name in names.inputs)
    click.echo(f"{'sent' if finished else 'interrupted after'} {counts}")
    if not finished:
        sys.exit(EXIT_INTERRUPTED)


async def _run(producer: FilesProducer) -> bool:
    """Return whether everything was sent, not ended early by SIGINT or SIGTERM."""
    task = asyncio.create_task(producer.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True
