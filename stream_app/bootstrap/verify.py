"""What `segmenter verify` looks at."""

from __future__ import annotations

from functools import partial

from stream_app.audit.people import People
from stream_app.audit.verification import Deployment
from stream_app.bootstrap.decoding import create_decoders, create_statement_decoder
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.kafka import create_connection, create_topic_names
from stream_app.bootstrap.segmentation import create_migration_context
from stream_app.core.clock import DAY_MS
from stream_app.core.consent import ConsentRules
from stream_app.settings.sections import Settings


def create_deployment(settings: Settings) -> Deployment:
    """Return what an audit looks at."""
    context = create_migration_context(settings)
    return Deployment(
        connection=create_connection(settings),
        names=create_topic_names(settings),
        partitions=settings.kafka.partitions,
        decoders=partial(create_decoders, settings),
        minor_per_major=context.minor_per_major,
        timezone=settings.business.timezone,
        gap_ms=settings.records.trusted_gap_days * DAY_MS,
        consent=context.consent,
        people=partial(_create_people, settings, context.consent) if settings.identities.enabled else None,
    )


def _create_people(settings: Settings, consent: ConsentRules) -> People:
    decoder = create_statement_decoder(settings)
    return People(create_topic_names(settings), decoder, create_weaver(settings), consent)
