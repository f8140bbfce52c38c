"""Delivers migrations, or notices, to one endpoint, each until it is delivered or known to be undeliverable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.forgetting import PRIVACY_HEADER
from stream_app.contracts.readers import read_migration, read_upcoming
from stream_app.core.clock import SECOND_MS
from stream_app.webhooks.messages import Message, build_messages, build_notice
from stream_app.webhooks.retrying import RetryAfterGate, RetryPolicy
from stream_app.webhooks.sending import Answer, Verdict
from stream_app.webhooks.subscriptions import Subscription

logger = logging.getLogger(__name__)

DELIVERED: Final = "delivered"
RETRIED: Final = "retried"
DEAD: Final = "dead"
OUTCOMES: Final = (DELIVERED, RETRIED, DEAD)
"""Outcomes that are counted: accepted, to be tried again, given up and written to the dead-letter topic."""
WARNING_INTERVAL_SECONDS: Final = 60.0
"""Between two warnings of one kind and subscription; an endpoint that is down fails hundreds of times a minute."""

CALM_SECONDS: Final = 2.0
"""Before partitions are handed over, and before the process ends."""
CALM_POLL_SECONDS: Final = 0.02

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class PublishedMigration:
    """A record of the topic of migrations, of that of notices, or of the dead letters.

    Parameters
    ----------
    topic, partition, offset
        Its place.
    published_ms
        Its timestamp.
    key, value, headers
        The record.
    """

    topic: str
    partition: int
    offset: int
    published_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


FORGETS: Final = (Message("", "", ""),)
"""In place of messages: nothing is sent, and what the customer has waiting is dropped."""


class Sending(Protocol):
    """Makes single attempts."""

    async def send(self, message: Message) -> Answer:
        """Return how it went; nothing is raised."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class DeadLetters(Protocol):
    """Keeps migrations that cannot be delivered."""

    async def append(self, subscription: str, published: PublishedMigration, reason: str, attempts: int) -> None:
        """Return once it is confirmed."""
        ...

    async def forget(self, customer: bytes) -> None:
        """Say that those of a customer so far are not to be sent again; return once it is confirmed."""
        ...


class Deliverer:
    """Delivers for one subscription.

    Parameters
    ----------
    subscription
        Which.
    source
        The deployment's consumer group, which messages name as their source.
    sender
        Makes the attempts.
    retries
        When to try again.
    in_flight_max
        Requests at once.
    dead_letters
        Keep the migrations that are given up.
    count
        Is called with each outcome.
    """

    def __init__(
        self,
        subscription: Subscription,
        source: str,
        sender: Sending,
        retries: RetryPolicy,
        in_flight_max: int,
        dead_letters: DeadLetters,
        count: Callable[[str], None],
    ) -> None:
        self.subscription = subscription
        self._filter = subscription.filter.migration_filter()
        self._source = source
        self._sender = sender
        self._retries = retries
        self._slots = asyncio.Semaphore(in_flight_max)
        self._gate = RetryAfterGate()
        self._in_flight = 0
        self._dead_letters = dead_letters
        self._count = count
        self._warns_at: dict[str, float] = {}

    def select(self, published: PublishedMigration) -> tuple[Message, ...] | None:
        """Return the messages for a record; none if the subscription does not ask for it, None if it is damaged.

        `FORGETS` for one that says that its customer was erased.
        """
        if published.value is None:
            return FORGETS if published.key and PRIVACY_HEADER in dict(published.headers) else ()
        return self._read(published.value, is_filtered=True)

    def rebuild(self, published: PublishedMigration) -> tuple[Message, ...] | None:
        """Return the messages for a dead letter, which was selected once."""
        return self._read(published.value or b"", is_filtered=False)

    def _read(self, document: bytes, *, is_filtered: bool) -> tuple[Message, ...] | None:
        try:
            if self.subscription.topic == "upcoming":
                notice = read_upcoming(document)
                is_wanted = not is_filtered or self._filter.selects_notice(notice)
                return (build_notice(notice, document, self._source),) if is_wanted else ()
            migration = read_migration(document)
            if is_filtered and not self._filter.selects(migration):
                return ()
            return build_messages(self.subscription.body, migration, document, self._source)
        except (ValueError, RecursionError):  # msgspec's error is a ValueError
            return None

    async def deliver(self, published: PublishedMigration, messages: tuple[Message, ...] | None, since_ms: int) -> bool:
        """Return whether it was delivered; if not, it is among the dead letters.

        Parameters
        ----------
        published
            The migration.
        messages
            Sent one after the other; None if the record is damaged.
        since_ms
            Its age counts from here.
        """
        if messages == FORGETS:
            await self._dead_letters.forget(published.key or b"")
            return False
        reason, attempts = f"record is not a {'notice' if self.subscription.topic == 'upcoming' else 'migration'}", 0
        for message in messages or ():
            answer, attempts = await self._send_until_settled(message, since_ms)
            if answer.verdict is not Verdict.DELIVERED:
                reason = answer.reason
                break
            self._count(DELIVERED)
        else:
            if messages:
                return True
        await self._dead_letters.append(self.subscription.name, published, reason, attempts)
        self._count(DEAD)
        self._warn(DEAD, f"{reason}; given up after {attempts} attempts, and written to the dead letters")
        return False

    async def calm_down(self) -> None:
        """Start no new request for a moment; return when that is over, or earlier if all requests are answered.

        A request that is cut off may have been delivered, and is sent again.
        """
        self._gate.close(CALM_SECONDS)
        ends_at = time.monotonic() + CALM_SECONDS
        while self._in_flight and time.monotonic() < ends_at:
            await asyncio.sleep(CALM_POLL_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        await self._sender.close()

    async def _send_until_settled(self, message: Message, since_ms: int) -> tuple[Answer, int]:
        """Return the last answer, and how many attempts it took; a slot is held while one is under way only."""
        attempts = 0
        while True:
            await self._gate.passed()
            async with self._slots:
                await self._gate.passed()  # it may have closed while this waited for the slot
                self._in_flight += 1
                try:
                    answer = await self._sender.send(message)
                finally:
                    self._in_flight -= 1
            attempts += 1
            if answer.verdict is Verdict.DELIVERED:
                return answer, attempts
            age_seconds = (now_ms() - since_ms) / SECOND_MS
            if answer.verdict is Verdict.REFUSED or self._retries.is_hopeless(attempts, age_seconds):
                return answer, attempts
            self._count(RETRIED)
            if answer.retry_after_seconds:
                self._gate.close(min(answer.retry_after_seconds, self._retries.give_up_seconds))
            self._warn(RETRIED, f"{answer.reason}; it is tried again")
            await asyncio.sleep(self._retries.wait_seconds(attempts))

    def _warn(self, outcome: str, sentence: str) -> None:
        now = time.monotonic()
        if now >= self._warns_at.get(outcome, 0.0):
            self._warns_at[outcome] = now + WARNING_INTERVAL_SECONDS
            logger.warning("subscription %s: %s", self.subscription.name, sentence)
