"""A worker on Kafka."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Final

from stream_app.adapters.kafka_client import KafkaConnection, committed_records
from stream_app.adapters.listening import Address
from stream_app.adapters.state_log import KafkaStateLog
from stream_app.adapters.topic_admin import require_topics
from stream_app.bootstrap.decoding import create_decoders, create_statement_decoder
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.bootstrap.learning import create_trainer_settings
from stream_app.bootstrap.privacy import create_privacy_rules
from stream_app.bootstrap.segmentation import create_migration_context, create_segmentations, intervals_ms
from stream_app.contracts.decoding import Decoder
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.errors import ConfigurationError
from stream_app.native.library import library
from stream_app.settings.definitions import Definitions
from stream_app.settings.sections import Settings
from stream_app.worker.application import create_faust_app
from stream_app.worker.definition_follower import DefinitionFollower
from stream_app.worker.faust_host import FaustHost
from stream_app.worker.identity_follower import IdentityFollower
from stream_app.worker.loop_settings import LoopSettings
from stream_app.worker.opening import PartitionOpener, PartitionSettings
from stream_app.worker.owned import OwnedPartitions
from stream_app.worker.process import Parts, run_worker

LISTED_MAX: Final = 250_000
"""Ids in a list: 2.7 MB in the record of each definition that looks at it, of 8 that there may be."""


def create_worker(settings: Settings) -> Callable[[], Coroutine[None, None, None]]:
    """Return what runs a worker on Kafka until it is asked to stop.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    NativeLibraryUnusable
        If the compiled library is, which need not wait for brokers to be found out.
    """
    library()
    _require_short_lists(settings.definitions)
    topics, connection = create_topic_names(settings), create_connection(settings)

    def decoders(fields: Sequence[str]) -> dict[str, Decoder]:
        made = create_decoders(settings, fields)
        return {topics.input_topic(contract): decoder for contract, decoder in made.items()}

    lane_settings = create_lane_settings(settings)
    trainer_settings = create_trainer_settings(settings)
    kafka, worker = settings.kafka, settings.worker
    health = Address(worker.health_host, worker.health_port, "setting worker.health_port")
    log = KafkaStateLog(connection, kafka.transaction_timeout_seconds)

    def create(failed: Callable[[BaseException], None]) -> Parts:
        identities = _create_identity_follower(settings, connection)
        follower = DefinitionFollower(connection, topics.models, partial(create_segmentations, settings))
        owned = OwnedPartitions(
            opener=PartitionOpener(
                log=log,
                topics=topics,
                settings=PartitionSettings(
                    kafka.partitions, worker.recovery_timeout_seconds, settings.business.timezone
                ),
                trainer_settings=trainer_settings,
                follower=follower,
                identities=identities,
            ),
            topics=topics,
            lane_settings=lane_settings,
            context=create_migration_context(settings),
            decoders=decoders,
            partitions=kafka.partitions,
            follower=follower,
            failed=failed,
            identities=identities,
            follow_samples=partial(committed_records, connection, topics.samples),
        )
        host = FaustHost(owned, topics, lane_settings, failed)
        options = {
            **connection.faust_options(),
            "broker_session_timeout": float(kafka.session_timeout_seconds),
            "broker_heartbeat_interval": kafka.session_timeout_seconds / 5,
            "broker_request_timeout": float(max(40, worker.recovery_timeout_seconds)),
            "broker_rebalance_timeout": 30.0,
            "broker_commit_interval": 1.0,
            "consumer_group_instance_id": kafka.instance_id,
        }
        return Parts(create_faust_app(topics, owned, host, kafka.partitions, options), owned, follower, identities)

    async def run() -> None:
        health.check()
        specs = [spec for spec in create_topic_specs(settings) if spec.name != topics.webhook_dead_letters]
        await require_topics(connection, specs, worker.recovery_timeout_seconds)
        await run_worker(create, log.log_ends, health)

    return run


def _create_identity_follower(settings: Settings, connection: KafkaConnection) -> IdentityFollower | None:
    """Return what follows the deployment's statements on ids; None if nothing does."""
    if not settings.identities.enabled:
        return None
    decoder = create_statement_decoder(settings)
    topic = create_topic_names(settings).identities
    return IdentityFollower(connection, topic, decoder, create_weaver(settings), settings.kafka.partitions)


def _require_short_lists(definitions: Definitions) -> None:
    """Refuse lists that a version's record in `segment-models` has no room for."""
    for name, customer_ids in definitions.lists.items():
        if len(customer_ids) > LISTED_MAX:
            raise ConfigurationError(
                f"lists.{name}: {len(customer_ids):,} ids, expected at most {LISTED_MAX:,}, as they travel with the "
                "definitions that look at them; a trait has no such limit"
            )


def create_lane_settings(settings: Settings) -> LoopSettings:
    """Return how partitions' loops run."""
    interval_ms, tick_ms = intervals_ms(settings)
    wait_seconds = (
        settings.learning.wait_seconds if create_trainer_settings(settings) else 0
    )  # where nothing is learned
    return LoopSettings(
        sweep_interval_ms=interval_ms,
        live_interval_ms=settings.worker.sweep_interval_seconds * SECOND_MS,
        tick_ms=tick_ms,
        sample_size=settings.learning.sample_size,
        seed=settings.learning.seed,
        gap_ms=settings.records.trusted_gap_days * DAY_MS,
        keep_payload=settings.records.keep_rejected_payload,
        follows_wall_clock=settings.worker.clock == "wall",
        idle_ms=settings.worker.idle_seconds * SECOND_MS,
        chunk_records_max=settings.worker.max_chunk_records,
        transaction_records_max=settings.worker.max_transaction_records,
        model_moves_per_second=settings.worker.model_migrations_per_second,
        tick_wait_ms=wait_seconds * SECOND_MS,
        live_tick_wait_ms=min(wait_seconds, settings.learning.live_wait_seconds) * SECOND_MS,
        figures_interval_ms=settings.worker.figures_interval_seconds * SECOND_MS,
        privacy=create_privacy_rules(settings),
    )
