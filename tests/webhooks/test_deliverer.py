"""The deliverer's decisions, with answers as they are written here."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stream_app.contracts.forgetting import ERASED, PRIVACY_HEADER
from stream_app.webhooks.deliverer import Deliverer, PublishedMigration
from stream_app.webhooks.messages import Message
from stream_app.webhooks.retrying import ATTEMPTS_MIN, RetryAfterGate, RetryPolicy
from stream_app.webhooks.sending import Answer, Verdict
from stream_app.webhooks.subscriptions import Subscription
from tests.webhooks.deliveries import EXAMPLES, migration, published, subscription

OK = Answer(Verdict.DELIVERED, "HTTP 204")
DOWN = Answer(Verdict.FAILED, "HTTP 503")
GONE = Answer(Verdict.REFUSED, "HTTP 410")
QUICK = RetryPolicy(0.001, 0.002, 86_400.0)


@dataclass
class Script:
    """Answers as written; keeps what was sent and what was given up."""

    answers: list[Answer]
    sent: list[str] = field(default_factory=list)
    dead: list[tuple[str, int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    busiest: int = 0

    async def send(self, message: Message) -> Answer:
        self.sent.append(message.id)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        return self.answers.pop(0)

    async def close(self) -> None:
        pass

    def count(self, outcome: str) -> None:
        self.counts[outcome] += 1

    async def append(self, subscription: str, published: PublishedMigration, reason: str, attempts: int) -> None:
        assert (subscription, published.offset) == ("crm", 7)
        self.dead.append((reason, attempts))

    async def forget(self, customer: bytes) -> None:
        self.dead.append((customer.decode(), 0))


def deliver(script: Script, retries: RetryPolicy = QUICK, age_seconds: float = 0, body: str = "cloudevents") -> bool:
    async def play() -> bool:
        deliverer = create(script, retries, body)
        taken = published(migration())
        since_ms = int((time.time() - age_seconds) * 1000)
        return await deliverer.deliver(taken, deliverer.select(taken), since_ms)

    return asyncio.run(play())


def create(
    script: Script, retries: RetryPolicy = QUICK, body: str = "cloudevents", in_flight_max: int = 4
) -> Deliverer:
    described = Subscription.model_validate(subscription("crm", "https://crm.example/", body=body))
    return Deliverer(described, "segmenter", script, retries, in_flight_max, script, script.count)


def test_failure_is_tried_again_with_the_same_id_until_it_is_taken() -> None:
    script = Script([DOWN, DOWN, OK])
    assert deliver(script)
    assert script.sent == [migration()["migration_id"]] * 3
    assert script.counts == {"retried": 2, "delivered": 1}


def test_erased_customer_is_nothing_to_send_and_its_dead_letters_are_to_be_passed_by() -> None:
    script = Script([])
    marker = replace(published(migration()), key=b"c-42", value=None, headers=((PRIVACY_HEADER, ERASED),))

    async def play() -> bool:
        deliverer = create(script)
        assert deliverer.select(replace(marker, headers=())) == ()
        return await deliverer.deliver(marker, deliverer.select(marker), 0)

    assert not asyncio.run(play())
    assert (script.sent, script.dead, script.counts) == ([], [("c-42", 0)], {})


def test_refusal_is_a_dead_letter_at_once() -> None:
    script = Script([GONE])
    assert not deliver(script)
    assert script.dead == [("HTTP 410", 1)]
    assert script.counts == {"dead": 1}


def test_what_is_too_old_is_given_up_but_not_at_the_first_failures() -> None:
    script = Script([DOWN] * 20)
    assert not deliver(script, age_seconds=86_500)
    assert script.dead == [("HTTP 503", ATTEMPTS_MIN)]
    assert deliver(Script([DOWN] * (ATTEMPTS_MIN - 1) + [OK]), age_seconds=86_500)
    assert deliver(Script([DOWN] * 20 + [OK]), age_seconds=80_000)


def test_segment_s_second_event_waits_for_the_first() -> None:
    script = Script([DOWN, OK, DOWN, OK])
    assert deliver(script, body="segment")
    exited, entered = (f"{migration()['migration_id']}-{word}" for word in ("exited", "entered"))
    assert script.sent == [exited, exited, entered, entered]
    refused = Script([GONE])
    assert not deliver(refused, body="segment")
    assert refused.sent == [exited]


NO_MIGRATIONS = [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000]
WRONG = [
    {"migration_id": 5},
    {"migration_id": "a\r\nb"},
    {"customer_id": "\ud800"},
    {"to_segment": "s4"},
    {"explanation": {"kind": "guess", "sentence": ""}},
    {"holdout": {}},
]


@pytest.mark.parametrize("value", [*NO_MIGRATIONS, *(json.dumps(migration() | wrong).encode() for wrong in WRONG)])
def test_record_that_is_no_migration_is_a_dead_letter(value: bytes) -> None:
    async def play() -> bool:
        deliverer = create(script)
        taken = PublishedMigration("segment-migrations", 1, 7, 0, b"c1", value, ())
        return await deliverer.deliver(taken, deliverer.select(taken), 0)

    script = Script([])
    assert not asyncio.run(play())
    assert script.dead == [("record is not a migration", 0)]


def test_notices_are_sent_as_events_of_their_own() -> None:
    document = (EXAMPLES / "segment-upcoming" / "upcoming.pass.json").read_bytes()
    script = Script([])
    described = Subscription.model_validate(subscription("crm", "https://crm.example/", topic="upcoming"))
    deliverer = Deliverer(described, "segmenter", script, QUICK, 1, script, script.count)
    taken = PublishedMigration("segment-upcoming", 1, 7, 0, b"c-42", document, ())
    for found in (deliverer.select(taken), deliverer.rebuild(taken)):
        assert found is not None
        (message,) = found
        event, notice = json.loads(message.body), json.loads(document)
        assert (message.id, event["id"]) == (notice["notice_id"], notice["notice_id"])
        assert (event["type"], event["subject"]) == ("com.stream-segmenter.upcoming.upcoming", "c-42")
        assert (event["time"], event["data"]) == (notice["decided_at"], notice)
    damaged = PublishedMigration("segment-upcoming", 1, 7, 0, b"c-42", json.dumps(migration()).encode(), ())
    assert deliverer.select(damaged) is None


def test_requests_at_once_are_bounded() -> None:
    script = Script([OK] * 50)

    async def play() -> None:
        deliverer = create(script, in_flight_max=3)
        taken = published(migration())
        await asyncio.gather(*(deliverer.deliver(taken, deliverer.select(taken), 0) for _ in range(50)))

    asyncio.run(play())
    assert (script.busiest, script.counts["delivered"]) == (3, 50)


def test_what_is_under_way_is_answered_before_all_is_calm_and_nothing_begins_meanwhile() -> None:
    script = Script([OK, OK])

    async def play() -> list[bool]:
        deliverer = create(script)
        taken = published(migration())
        first = asyncio.create_task(deliverer.deliver(taken, deliverer.select(taken), 0))
        await asyncio.sleep(0)
        calm = asyncio.create_task(deliverer.calm_down())
        await asyncio.sleep(0)
        second = asyncio.create_task(deliverer.deliver(taken, deliverer.select(taken), 0))
        await calm
        found = [first.done(), second.done()]
        second.cancel()
        return found

    assert asyncio.run(play()) == [True, False]
    assert len(script.sent) == 1


def test_waits_grow_spread_out_and_are_bounded() -> None:
    low = RetryPolicy(1.0, 300.0, 86_400.0, draw=lambda: 0.0)
    high = RetryPolicy(1.0, 300.0, 86_400.0, draw=lambda: 1.0)
    assert [low.wait_seconds(attempts) for attempts in (1, 2, 3, 9, 10, 2_000)] == [0.5, 1, 2, 128, 150, 150]
    assert [high.wait_seconds(attempts) for attempts in (1, 2, 3, 9, 10, 2_000)] == [1, 2, 4, 256, 300, 300]


def test_gate_lets_nobody_pass_before_the_latest_time_it_was_given() -> None:
    async def play() -> tuple[float, list[str]]:
        gate, passed = RetryAfterGate(), []
        started = time.monotonic()
        gate.close(0.1)

        async def pass_through(name: str) -> None:
            await gate.passed()
            passed.append(name)

        waiting = [asyncio.create_task(pass_through(name)) for name in "ab"]
        await asyncio.sleep(0)
        gate.close(0.2)
        gate.close(0.0)
        await asyncio.gather(*waiting)
        return time.monotonic() - started, passed

    waited, passed = asyncio.run(play())
    assert waited >= 0.2
    assert sorted(passed) == ["a", "b"]


def test_tombstone_and_unselected_migration_need_nothing() -> None:
    async def play() -> list[Any]:
        deliverer = create(Script([]))
        held_out = migration(holdout={"bucket": 1, "held_out": True})
        return [
            deliverer.select(PublishedMigration("segment-migrations", 1, 7, 0, b"c1", None, ())),
            deliverer.select(published(held_out)),
        ]

    assert asyncio.run(play()) == [(), ()]
