"""The database of the view, for the process that writes it and the one that reads it."""

from __future__ import annotations

from stream_app.adapters.redis_client import RedisConnection
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import read_secret
from stream_app.settings.sections import Settings


def create_redis_connection(settings: Settings) -> RedisConnection:
    """Return how clients reach Redis.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or are not enough for production.
    """
    section = settings.redis
    if settings.deployment.production and not section.url.startswith("rediss://"):
        raise ConfigurationError("setting redis.url: expected rediss://… (setting deployment.production asks for TLS)")
    return RedisConnection(
        url=section.url,
        username=section.username,
        password=read_secret(section, "password", "redis.password"),
        timeout_seconds=section.timeout_seconds,
        ca_file=section.ca_file,
        certificate_file=section.certificate_file,
        key_file=section.key_file,
    )
