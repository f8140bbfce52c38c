"""Consents on a real Kafka: who withdraws leaves and is not counted, across a kill; who agrees again begins anew."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

from stream_app.audit.consents import BARRED_MS
from stream_app.audit.verification import verify
from stream_app.bootstrap.verify import create_deployment
from stream_app.core.clock import format_instant
from tests.integration.test_worker import BACKTEST, Deploy, Input, deploy, input_of, stopped
from tests.support.events import engagement, instant, purchase

__all__ = ["deploy"]


def said(customer_id: str, day: float, decision: str) -> Input:
    record = {"customer_id": customer_id, "purpose": "segmentation", "decision": decision, "source": "test"}
    value = json.dumps(record | {"observed_at": format_instant(instant(day))}).encode()
    return Input("consents", customer_id.encode(), value)


def test_withdrawal_a_kill_and_consent_again_leave_what_was_agreed_to(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 2}, worker=BACKTEST)
    customers = [f"customer-{number}" for number in range(12)]
    withdrawn, returning = customers[:8], customers[:4]
    deployment.produce(input_of(purchase(day, customer_id=each)) for each in customers for day in (0, 9))
    first = deployment.start_worker()
    deployment.wait(lambda: len(deployment.rows()) == len(customers), "rows of everybody")
    deployment.produce(said(each, 10, "withdrawn") for each in withdrawn)
    deployment.produce(input_of(engagement(11, customer_id=each), "engagements") for each in customers)
    deployment.wait(
        lambda: any(b'"consent"' in (m.value() or b"") for m in deployment.read(deployment.topics.migrations)), "a move"
    )
    first.kill()
    deployment.workers.clear()
    deployment.produce(said(each, 20, "granted") for each in returning)
    deployment.produce(input_of(purchase(9, customer_id=each)) for each in customers)
    deployment.produce(input_of(purchase(21, customer_id=each)) for each in customers)
    deployment.start_worker()
    deployment.wait_until_drained()
    stopped(deployment)

    rows = deployment.rows()
    assert {each: rows[each].purchases for each in customers} == (
        dict.fromkeys(customers, 3) | dict.fromkeys(withdrawn, 0) | dict.fromkeys(returning, 1)
    )
    barred = {each for each, row in rows.items() if row.first_at_ms == BARRED_MS}
    assert barred == set(withdrawn) - set(returning)
    newest = {message.key(): message.value() for message in deployment.read(deployment.topics.memberships)}
    members = {key.rpartition(b"/")[2].decode() for key, value in newest.items() if key and value is not None}
    assert members == set(customers) - barred
    sequences = defaultdict(list)
    for migration in deployment.values(deployment.topics.migrations):
        sequences[migration["customer_id"]].append((migration["sequence"], migration["change"]))
    assert all([number for number, _ in told] == [*range(1, len(told) + 1)] for told in sequences.values())
    assert all(sequences[each][-1][1] == "left" for each in barred)
    found = asyncio.run(verify(create_deployment(deployment.settings), is_drained=True))
    assert found.tally.is_clean, found.tally.examples
    assert found.figures["of customers who were without consent"] == 5 * len(withdrawn)
