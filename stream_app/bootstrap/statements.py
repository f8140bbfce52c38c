"""Statements on which ids are one customer's, as the topic has them."""

from __future__ import annotations

from contextlib import suppress

from stream_app.adapters.kafka_client import START_SECONDS
from stream_app.adapters.topic_admin import require_topics
from stream_app.audit.reading import TopicReader
from stream_app.bootstrap.decoding import create_statement_decoder
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.core.identities import Identities, Refused, Statement
from stream_app.core.weaving import statement_of
from stream_app.errors import ConfigurationError, InvalidRecord
from stream_app.settings.sections import Settings

Refusals = list[tuple[Statement, Refused]]


async def read_topic(settings: Settings) -> tuple[Identities, Refusals]:
    """Return what the topic says; statements that cannot be read are among the dead letters."""
    if not settings.identities.enabled:
        raise ConfigurationError("setting identities.enabled: False, expected True, or files of statements")
    connection, names, weaver = create_connection(settings), create_topic_names(settings), create_weaver(settings)
    decoder = create_statement_decoder(settings)
    specs = [spec for spec in create_topic_specs(settings) if spec.name == names.identities]
    await require_topics(connection, specs, START_SECONDS)
    refused = []
    async with TopicReader(connection) as reader:
        bounds = await reader.bounds([(names.identities, 0)])
        async for records in reader.read(names.identities, 0, bounds):
            for record in records:
                with suppress(InvalidRecord):
                    event = decoder.decode(record.value or b"", record.timestamp_ms, record.key or b"")
                    said = statement_of(event)
                    taken = weaver.take(said)
                    if isinstance(taken, Refused):
                        refused.append((said, taken))
    return weaver.identities, refused
