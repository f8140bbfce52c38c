"""What `segmenter verify` looks at."""

from __future__ import annotations

from stream_app.audit.verification import Deployment
from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.settings.sections import Settings


def create_deployment(settings: Settings) -> Deployment:
    """Return what an audit looks at."""
    return Deployment(
        create_connection(settings), create_topic_names(settings), settings.kafka.partitions, create_decoders(settings)
    )
