"""`segmenter worker`: segment what arrives on Kafka."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from stream_app.adapters.kafka_client import Throttle, quieten_clients
from stream_app.bootstrap.worker import create_worker
from stream_app.settings import load_settings


@click.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, a TOML file.")
def worker(config: Path | None) -> None:
    """Segment customers while their events arrive on Kafka. Any number of workers share the partitions."""
    run = create_worker(load_settings(config))
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quieten_clients()
    logging.getLogger().handlers[0].addFilter(Throttle())
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the worker listens for it, nothing is under way
    asyncio.run(run())
