"""`segmenter produce`: put files of events on Kafka."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from stream_app.adapters.logs import silence_kafka
from stream_app.adapters.producing import FilesProducer, Pace
from stream_app.adapters.wall_clock import now_ms
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.commands.groups import CONFIG
from stream_app.commands.input_files import takes_input_files
from stream_app.errors import ConfigurationError
from stream_app.exits import ExitCode
from stream_app.settings.loading import load_settings

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@takes_input_files(_FILE, "JSON lines, plain or .gz; may be repeated.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Records per second.  [default: no limit]")
@click.option("--live", type=click.IntRange(min=0), help="Apply --rate to this many of the newest records only.")
@click.option("--shift-to-now", is_flag=True, help="Move all times so that the newest event happens now.")
@CONFIG
def produce(
    files: Mapping[str, Sequence[Path]],
    rate: float | None,
    live: int | None,
    shift_to_now: bool,
    config: Path | None,
) -> None:
    """Send files of events to Kafka, merged by time, with the keys and partitions that workers expect."""
    for path in (path for paths in files.values() for path in paths):
        if path.name.lower().removesuffix(".gz").endswith(".csv"):  # each line would be sent, and refused by the worker
            raise ConfigurationError(
                f"{path}: is CSV, and `produce` sends JSON lines only; `segmenter replay` reads CSV"
            )
    settings = load_settings(config)
    names = create_topic_names(settings)
    silence_kafka()
    producer = FilesProducer(
        create_connection(settings),
        {names.input_topic(contract): paths for contract, paths in files.items()},
        Pace(rate, live, now_ms() if shift_to_now else None),
    )
    finished = asyncio.run(_run(producer))
    counts = " and ".join(
        f"{producer.sent[name]:,} records to {name}"
        for contract, paths in files.items()
        if paths
        for name in [names.input_topic(contract)]
    )
    click.echo(f"{'sent' if finished else 'interrupted after'} {counts}")
    if not finished:
        sys.exit(ExitCode.INTERRUPTED)


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
