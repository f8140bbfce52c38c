"""The HTTP API: on the view, or on what a demo has written."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from secrets import token_bytes

from stream_app.adapters.listening import Address
from stream_app.adapters.metrics import API, Metrics, package_version
from stream_app.adapters.service import Service
from stream_app.adapters.view_schema import ViewKeys
from stream_app.api.access import BearerTokens
from stream_app.api.application import create_application
from stream_app.api.console import Console, Document, FileDocument
from stream_app.api.deciding import Decisions, Desk
from stream_app.api.live_document import LiveDocument
from stream_app.api.live_parts import LiveParts
from stream_app.api.memory_store import MemoryStore
from stream_app.api.readiness import StoreReadiness
from stream_app.api.redis_store import RedisStore
from stream_app.api.refusals import Refusals
from stream_app.api.sampling import ViewSampler
from stream_app.api.server import log_address, serve
from stream_app.api.sessions import KEY_BYTES
from stream_app.api.store import SegmentStore
from stream_app.bootstrap.redis import create_redis_connection
from stream_app.bootstrap.tokens import create_tokens, follow_tokens_file
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import read_secret
from stream_app.settings.sections import SIGNING_KEY_CHARACTERS, Settings
from stream_app.web.single_file import FILE_NAME


def create_api(settings: Settings) -> Callable[[], Coroutine[None, None, None]]:
    """Return what serves the view in Redis until it is told to stop.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together, or would let everybody in.
    """
    tokens = tokens_of(settings)
    connection, keys, metrics = create_redis_connection(settings), ViewKeys(settings.redis.key_prefix), Metrics(API)
    key, decisions = _signing_key(settings), None if tokens is None else Decisions(_desk_of(settings))

    async def run() -> None:
        store = RedisStore(connection, keys, metrics)
        timezone, sampler = settings.business.timezone, ViewSampler(connection, keys)
        document = LiveDocument(store, timezone, LiveParts(store, sampler))
        console = Console(store, document, tokens, key, decisions, package_version(), Refusals(sampler, timezone))
        await _serve(settings, store, tokens, metrics, log_address, console, key)

    return run


def create_demo_api(
    settings: Settings, folder: Path, announce: Callable[[str], None]
) -> Callable[[], Coroutine[None, None, None]]:
    """Return what serves a run that was written into a folder, without Kafka and Redis, and tells its address.

    The pages draw from the folder's report; where it has none, from what the API knows.

    Raises
    ------
    ConfigurationError
        If the settings would let everybody in from elsewhere.
    """
    tokens, metrics = tokens_of(settings), Metrics(API)

    async def run() -> None:
        store, report, key = MemoryStore(folder, is_read_later=True), folder / FILE_NAME, _signing_key(settings)
        document: Document = LiveDocument(store, settings.business.timezone)
        if report.is_file():
            document = FileDocument(report)
        console = Console(store, document, tokens, key, version=package_version())
        await _serve(settings, store, tokens, metrics, announce, console, key)

    return run


def tokens_of(settings: Settings) -> BearerTokens | None:
    """Return the tokens of those who may call the API; None where everybody may.

    Raises
    ------
    ConfigurationError
        If everybody could call, and it is not both allowed and on a loopback address.
    """
    section = settings.api
    has_tokens = bool(section.tokens) or section.tokens_file is not None
    if not has_tokens and not section.allow_anonymous:
        raise ConfigurationError("setting api.tokens: none, expected one at least; `segmenter api token` makes one")
    if section.allow_anonymous and has_tokens:
        raise ConfigurationError("setting api.allow_anonymous: True, expected False where there are api.tokens")
    if section.allow_anonymous and not _is_loopback(section.host):
        raise ConfigurationError(
            f"setting api.host: {section.host!r}, expected 127.0.0.1 or ::1 with api.allow_anonymous"
        )
    return create_tokens(settings)


async def _serve(
    settings: Settings,
    store: SegmentStore,
    tokens: BearerTokens | None,
    metrics: Metrics,
    announce: Callable[[str], None],
    console: Console,
    key: bytes,
) -> None:
    section = settings.api
    health = Address(section.health_host, section.health_port, "setting api.health_port")
    health.check()
    app = create_application(
        store,
        tokens,
        metrics,
        requests_per_second=section.requests_per_second,
        burst=section.burst_requests,
        max_streams=section.max_streams,
        timezone=settings.business.timezone,
        console=console,
        logs_requests=section.access_log,
        signing_key=key,
        cors_origins=section.cors_origins,
    )
    async with Service(StoreReadiness(store), health, metrics) as service, _following(section.tokens_file, tokens):
        await serve(app, store, Address(section.host, section.port, "setting api.port"), announce, service, console)


def _signing_key(settings: Settings) -> bytes:
    section = settings.api
    key = read_secret(section, "signing_key", "api.signing_key")
    if key is None:
        return token_bytes(KEY_BYTES)
    if len(key) < SIGNING_KEY_CHARACTERS:
        path = section.signing_key_file
        name = "setting api.signing_key" if path is None else f"setting api.signing_key_file: {path}"
        raise ConfigurationError(f"{name}: {len(key)} characters, expected at least {SIGNING_KEY_CHARACTERS}")
    return key.encode()


def _desk_of(settings: Settings) -> Callable[[], AbstractAsyncContextManager[Desk]]:
    def open_desk() -> AbstractAsyncContextManager[Desk]:
        try:  # Kafka, which the API needs for nothing else
            from stream_app.adapters import model_desk
            from stream_app.bootstrap.kafka import create_connection, create_topic_names
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"a client of Kafka is not installed here ({error})") from error
        return model_desk.open_desk(create_connection(settings), create_topic_names(settings))

    return open_desk


@asynccontextmanager
async def _following(path: Path | None, tokens: BearerTokens | None) -> AsyncIterator[None]:
    """Let tokens follow their file meanwhile, if they have one."""
    if path is None or tokens is None:
        yield
        return
    following = asyncio.create_task(follow_tokens_file(path, tokens))
    try:
        yield
    finally:
        following.cancel()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
