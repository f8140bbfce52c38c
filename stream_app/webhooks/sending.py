"""One request to an endpoint, and the meaning of its answer.

httpx's transport is used without its client: no redirect is followed, no cookie kept, no proxy and no credential
taken from the environment, and nothing logs the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import httpx

from stream_app.errors import AddressRefused, ConfigurationError
from stream_app.webhooks.addresses import Network, Resolver, is_callable
from stream_app.webhooks.messages import Message
from stream_app.webhooks.signing import Signer
from stream_app.webhooks.subscriptions import SCHEMES, Subscription

USER_AGENT: Final = "stream-segmenter"
RESPONSE_BYTES_MAX: Final = 64 << 10
"""The body of an answer is not used; up to this much is read, so that the connection can be used again."""
BODY_SECONDS: Final = 1.0
"""Longest time for that."""
KEEP_ALIVE_SECONDS: Final = 20.0
RETRIED_4XX: Final = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: a later attempt may succeed. The others say that none will."""
SAYS_WHEN: Final = frozenset({429, 503})


class Verdict(Enum):
    """The next step."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True)
class Answer:
    """How an attempt went.

    Parameters
    ----------
    verdict
        Whether it is done, to be tried again, or hopeless.
    reason
        A few words for logs and dead letters; nothing of the address, the body or the endpoint's own words.
    retry_after_seconds
        The endpoint does not want to be called earlier.
    """

    verdict: Verdict
    reason: str
    retry_after_seconds: float = 0.0


@dataclass(frozen=True)
class SendingPolicy:
    """How all endpoints are called.

    Parameters
    ----------
    timeout_seconds
        For a request as a whole, from the look-up of the name to the answer's head.
    connections_max
        Of one subscription.
    allowed
        Networks that may be called though they are not public.
    allows_http
        Whether an address without TLS is accepted.
    tls
        How certificates are verified.
    """

    timeout_seconds: float
    connections_max: int
    allowed: tuple[Network, ...]
    allows_http: bool
    tls: ssl.SSLContext

    def check(self, subscription: Subscription) -> None:
        """Check an address before anything is sent there; the addresses of a name are checked at every request.

        Raises
        ------
        ConfigurationError
            If it has no TLS or is in a network that must not be called, and that is not allowed.
        """
        parts = subscription.parts
        if parts.scheme != "https" and not self.allows_http:
            raise ConfigurationError(
                f"subscription {subscription.name}: its url begins with http:, expected https: "
                "(setting webhooks.allow_http)"
            )
        try:
            address = ip_address(str(parts.hostname))
        except ValueError:
            return  # a name
        if not is_callable(address, self.allowed):
            raise ConfigurationError(
                f"subscription {subscription.name}: {address} is not on the public internet "
                "(setting webhooks.allowed_networks)"
            )


def create_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return the usual verification of certificates, by the usual authorities and those of a file.

    Raises
    ------
    ConfigurationError
        If the file holds no certificates.
    """
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"setting webhooks.ca_file: {ca_file}, expected a file of certificates in PEM ({error.strerror})"
            ) from error
    return context


class Sender:
    """Calls one subscription's endpoint.

    Parameters
    ----------
    subscription
        Whose endpoint.
    policy
        How all endpoints are called.
    now
        The wall clock, in UTC.

    """

    def __init__(
        self,
        subscription: Subscription,
        policy: SendingPolicy,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        parts = subscription.parts
        self._url = httpx.URL(subscription.url.get_secret_value())
        self._host = str(parts.hostname)
        self._signer = Signer(subscription.keys)
        self._policy = policy
        self._now = now
        self._resolver = Resolver(self._host, parts.port or SCHEMES[parts.scheme], policy.allowed)
        limits = httpx.Limits(
            max_connections=policy.connections_max,
            max_keepalive_connections=policy.connections_max,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        )
        self._transport = httpx.AsyncHTTPTransport(verify=policy.tls, trust_env=False, limits=limits)

    async def send(self, message: Message) -> Answer:
        """Make one attempt; every failure becomes part of the answer."""
        try:
            async with asyncio.timeout(self._policy.timeout_seconds):
                response = await self._call_first(await self._resolver.addresses(), message)
        except TimeoutError:
            return Answer(Verdict.FAILED, "no answer in time")
        except AddressRefused as error:
            return Answer(Verdict.FAILED, str(error))
        except OSError:
            return Answer(Verdict.FAILED, "name not resolved")
        except httpx.HTTPError as error:
            self._resolver.forget()
            return Answer(Verdict.FAILED, _phrase(error))
        try:
            await _read_some(response)
        finally:
            await response.aclose()
        return judge(response.status_code, response.headers.get("retry-after"), self._now())

    async def close(self) -> None:
        """Close all connections."""
        self._resolver.close()
        await self._transport.aclose()

    async def _call_first(self, addresses: Sequence[str], message: Message) -> httpx.Response:
        """Call the first address that can be connected to."""
        seconds = self._policy.timeout_seconds
        timeout = httpx.Timeout(seconds, connect=seconds / len(addresses))
        for address in addresses[:-1]:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._call(address, message, timeout)
        return await self._call(addresses[-1], message, timeout)

    async def _call(self, address: str, message: Message, timeout: httpx.Timeout) -> httpx.Response:
        # The address replaces the host, so nothing resolves it again; the name goes into the header Host
        # and into TLS, where the certificate is checked against it.
        request = httpx.Request(
            "POST",
            self._url.copy_with(host=address),
            headers={
                "host": self._url.netloc.decode("ascii"),
                "user-agent": USER_AGENT,
                "accept-encoding": "identity",
                "content-type": message.content_type,
                **self._signer.headers(message, self._now()),
            },
            content=message.body.encode(),
            extensions={"timeout": timeout.as_dict(), "sni_hostname": self._host},
        )
        return await self._transport.handle_async_request(request)


def judge(status: int, retry_after: str | None, now: datetime) -> Answer:
    """Return the meaning of a status, and when the endpoint wants to be called again."""
    reason = f"HTTP {status}"
    if 200 <= status < 300:
        return Answer(Verdict.DELIVERED, reason)
    if 400 <= status < 500 and status not in RETRIED_4XX:
        return Answer(Verdict.REFUSED, reason)
    wait_seconds = _seconds(retry_after, now) if status in SAYS_WHEN and retry_after else 0.0
    return Answer(Verdict.FAILED, reason, wait_seconds)


def _seconds(retry_after: str, now: datetime) -> float:
    """Return how long to wait by a header `Retry-After`: seconds or a date (RFC 9110, 10.2.3); 0 if it is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


async def _read_some(response: httpx.Response) -> None:
    """Read the answer's body up to a limit; the verdict does not depend on it."""
    read = 0
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in response.aiter_raw():
                read += len(piece)
                if read > RESPONSE_BYTES_MAX:
                    return


def _phrase(error: httpx.HTTPError) -> str:
    """Return a name for the failure, without the error's own text."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "certificate not accepted"
        cause = cause.__cause__ or cause.__context__
    phrases = {
        httpx.ConnectError: "no connection",
        httpx.TimeoutException: "no answer in time",
        httpx.NetworkError: "connection broken off",
        httpx.ProtocolError: "answer is not HTTP",
    }
    return next((phrase for kind, phrase in phrases.items() if isinstance(error, kind)), type(error).__name__)
