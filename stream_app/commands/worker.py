"""`segmenter worker`: segment what arrives on Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from stream_app.adapters.service import run_service
from stream_app.bootstrap.logs import create_log_policy
from stream_app.bootstrap.worker import create_worker
from stream_app.commands.groups import CONFIG, SEGMENTATIONS, with_segmentations
from stream_app.settings.loading import load_settings


@click.command()
@CONFIG
@SEGMENTATIONS
def worker(config: Path | None, segmentations: Path | None) -> None:
    """Segment customers as their events arrive on Kafka. Any number of workers share the partitions."""
    settings = load_settings(config, with_segmentations(segmentations))
    run_service(create_worker(settings), log=create_log_policy(settings))
