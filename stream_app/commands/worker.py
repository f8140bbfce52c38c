"""`segmenter worker`: segment what arrives on Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.adapters.service import run_service
from stream_app.bootstrap.worker import create_worker
from stream_app.commands.groups import CONFIG, SEGMENTATIONS, with_segmentations
from stream_app.settings.loading import load_settings


@click.command()
@CONFIG
@SEGMENTATIONS
def worker(config: Path | None, segmentations: Path | None) -> None:
    """Segment customers as their events arrive on Kafka. Any number of workers share the partitions."""
    run_service(create_worker(load_settings(config, with_segmentations(segmentations))))
