"""The view in Redis: the process that keeps it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import VIEW, Metrics
from stream_app.adapters.topic_admin import require_topics
from stream_app.adapters.view_schema import ViewKeys
from stream_app.bootstrap.kafka import create_connection, create_topic_names, create_topic_specs
from stream_app.bootstrap.redis import create_redis_connection
from stream_app.settings.sections import Settings
from stream_app.view.follower import FollowerSettings, ViewFollower
from stream_app.view.process import run_rebuild, run_view
from stream_app.view.target import ViewTarget


def create_view(settings: Settings, *, is_rebuild: bool = False) -> Callable[[], Coroutine[None, None, None]]:
    """Return what keeps the view in Redis until it is told to stop, or builds it anew once.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    """
    topics, connection, redis = create_topic_names(settings), create_connection(settings), settings.redis
    redis_connection, metrics = create_redis_connection(settings), Metrics(VIEW)
    health = Address(settings.view.health_host, settings.view.health_port, "setting view.health_port")
    follower_settings = FollowerSettings(
        settings.kafka.partitions, settings.view.chunk_records, settings.business.timezone
    )

    async def run() -> None:
        if not is_rebuild:
            health.check()
        wanted = topics.memberships, topics.migrations, topics.models, topics.figures, topics.upcoming
        specs = [spec for spec in create_topic_specs(settings) if spec.name in wanted]
        await require_topics(connection, specs, settings.worker.recovery_timeout_seconds)
        kept = settings.view.recent_migrations, settings.view.customer_migrations
        target = ViewTarget(redis_connection, ViewKeys(redis.key_prefix), *kept)
        follower = ViewFollower(connection, topics, target, follower_settings, metrics)
        if is_rebuild:
            await run_rebuild(follower, target)
        else:
            await run_view(follower, target, metrics, health)

    return run
