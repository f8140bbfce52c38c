"""The Faust application: a table, two agents, and the services around them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import faust
from faust.types import TP

from stream_app.adapters.faust_bridge import PASS_THROUGH, ChunkScheduler, install
from stream_app.adapters.topics import TopicNames
from stream_app.worker.faust_host import FaustHost
from stream_app.worker.owned import OwnedPartitions


def create_faust_app(
    topics: TopicNames, owned: OwnedPartitions, host: FaustHost, partitions: int, options: Mapping[str, Any]
) -> faust.App:
    """Return an application that is ready to be started.

    Parameters
    ----------
    topics
        Names.
    owned, host
        What the agents hand their work to, and what Faust asks.
    partitions
        Of the state's table.
    options
        Further settings of `faust.App`, such as broker and session timeout.
    """
    app = faust.App(
        topics.group,
        datadir=tempfile.gettempdir(),  # Faust makes folders there, and nothing is ever put in
        store="memory://",
        topic_partitions=partitions,
        topic_allow_declare=False,  # `segmenter topics create` makes them, with all their properties
        topic_disable_leader=True,  # the empty leader topic's long poll stalls every other fetch
        table_standby_replicas=0,  # standbys in memory would be thrown away
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        stream_buffer_maxsize=4096,
        consumer_auto_offset_reset="earliest",
        ConsumerScheduler=ChunkScheduler,
        web_enabled=False,
        **options,
    )
    install(app, host)
    inputs = app.topic(*topics.taken_in, key_serializer="raw", value_serializer=PASS_THROUGH)
    samples = app.topic(topics.samples, key_serializer="raw", value_serializer=PASS_THROUGH)
    # Declares the changelog, so that Faust assigns its partitions together with those of the inputs.
    customers = app.Table("customers", key_type=bytes, value_type=bytes, partitions=partitions)
    assert customers.changelog_topic.get_topic_name() == topics.changelog

    @app.agent(inputs, name="segment")
    async def segment(chunks: Any) -> None:
        async for event in chunks.noack().events():
            await owned.segment(event.value)

    @app.agent(samples, name="train")
    async def train(records: Any) -> None:
        async for event in records.noack().events():
            await owned.train(event.message.offset, event.value)

    @app.on_rebalance_complete.connect
    async def open_partitions(*_: Any, **__: Any) -> None:
        """After Faust's own recovery, before anything is delivered."""
        assigned = app.consumer.assignment()
        await owned.open(
            {tp.partition for tp in assigned if tp.topic in topics.inputs}, TP(topics.samples, 0) in assigned
        )

    @app.on_partitions_revoked.connect
    async def release(*_: Any, **__: Any) -> None:
        """Before the group is joined again."""
        await owned.release()
        await app.consumer.commit()

    return app
