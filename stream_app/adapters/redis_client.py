"""How every client of Redis is made: the one place that turns an address and credentials into a client."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from stream_app.adapters.cancellation import cancellation_kept
from stream_app.errors import ConfigurationError

SCHEMES: Final = ("redis", "rediss")
REDIS_FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a call to Redis may raise that is away, slow, or refuses."""
HEALTH_CHECK_SECONDS: Final = 15
"""A connection that was idle for this long is tried before it is used: a firewall may have dropped it."""


class _CancellableSending(AbstractConnection):
    """Sends so that a cancellation that comes meanwhile is not lost; see `stream_app.adapters.cancellation`."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            with cancellation_kept():
                await super().send_packed_command(command, check_health)
        except asyncio.CancelledError:
            await self.disconnect(nowait=True)  # else its answer would be taken for that of the next command
            raise


class _TcpConnection(_CancellableSending, Connection):
    """A plain one."""


class _TlsConnection(_CancellableSending, SSLConnection):
    """An encrypted one."""


@dataclass(frozen=True)
class RedisConnection:
    """Where Redis is, and who the client is there.

    Parameters
    ----------
    url
        `redis://host:port/database`, or `rediss://…` for TLS.
    username, password
        Of an ACL user; none for the default user without a password.
    timeout_seconds
        For connecting, and for every answer.
    ca_file, certificate_file, key_file
        PEM files: whom to trust (the system's authorities if none), and who this client is (mutual TLS).

    Raises
    ------
    ConfigurationError
        If the address holds a password, where logs and error messages would show it, or is not an address of Redis.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 2.0
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ConfigurationError("setting redis.url: expected redis://host:port/database or rediss://… for TLS")
        if parts.password is not None or parts.username is not None or parts.query:
            raise ConfigurationError(
                "setting redis.url: expected no user, password or option in it; "
                "the settings redis.username and redis.password are for them"
            )
        if parts.scheme == "redis" and (self.ca_file or self.certificate_file):
            raise ConfigurationError("setting redis.url: certificates are set, expected rediss://…")

    def create_client(self, *, max_connections: int = 16, answer_seconds: float | None = None) -> redis.Redis:
        """Return a client that connects when it is first used.

        It does not retry: what to do while Redis is away is up to the caller, and differs for a
        follower, which waits, and for a request, which must be answered.

        Parameters
        ----------
        max_connections
            Most at once; further calls wait for one to be free.
        answer_seconds
            In place of `timeout_seconds`, for calls that block on purpose.
        """
        pool = redis.BlockingConnectionPool.from_url(
            self.url,
            username=self.username,
            password=self.password,
            protocol=2,  # one form of answers, whatever the server prefers
            max_connections=max_connections,
            timeout=self.timeout_seconds,
            socket_connect_timeout=self.timeout_seconds,
            socket_timeout=self.timeout_seconds if answer_seconds is None else answer_seconds,
            socket_keepalive=True,
            health_check_interval=HEALTH_CHECK_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **self._tls_options(),
        )
        pool.connection_class = _TlsConnection if self._is_encrypted else _TcpConnection
        return redis.Redis.from_pool(pool)

    @property
    def _is_encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "rediss"

    def _tls_options(self) -> dict[str, Any]:
        if not self._is_encrypted:
            return {}
        return {
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
            "ssl_ca_certs": None if self.ca_file is None else str(self.ca_file),
            "ssl_certfile": None if self.certificate_file is None else str(self.certificate_file),
            "ssl_keyfile": None if self.key_file is None else str(self.key_file),
        }


class RedisScript:
    """A Lua script that Redis is sent once, and again when it has forgotten it (a restart, a failover).

    Parameters
    ----------
    text
        Of the script.
    reads_only
        Whether it changes nothing, so that it may be run by a user, and on a replica, that must not write.
    """

    def __init__(self, text: str, *, reads_only: bool = False) -> None:
        self._text = text
        self._sha = ""
        self._command = "EVALSHA_RO" if reads_only else "EVALSHA"

    async def run(self, client: redis.Redis, *arguments: str | bytes | int) -> Any:
        """Run it and return its answer."""
        return (await self.run_all(client, [arguments]))[0]

    async def run_all(self, client: redis.Redis, calls: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Run it several times, in order and in one round trip; return the answers.

        Raises
        ------
        RedisError
            If one call failed; those before it have been done, those after it may have been.
        """
        if not self._sha:
            await self._load(client)
        try:
            return await self._send(client, calls)
        except NoScriptError:  # then none of the calls was done
            await self._load(client)
            return await self._send(client, calls)

    async def _load(self, client: redis.Redis) -> None:
        self._sha = await client.script_load(self._text)

    async def _send(self, client: redis.Redis, calls: list[tuple[str | bytes | int, ...]]) -> list[Any]:
        if len(calls) == 1:
            answer = await client.execute_command(self._command, self._sha, 0, *calls[0])  # type: ignore[no-untyped-call]
            return [answer]
        pipeline = client.pipeline(transaction=False)
        for arguments in calls:
            pipeline.execute_command(self._command, self._sha, 0, *arguments)
        return await pipeline.execute()


__all__ = ["REDIS_FAILURES", "RedisConnection", "RedisError", "RedisScript"]
