"""Customers of many ids on a real broker: wherever and whenever a statement comes, it ends where a replay does."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from stream_app.audit.verification import verify
from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.bootstrap.verify import create_deployment
from stream_app.cli import segmenter
from stream_app.core.clock import DAY_MS, NO_TIME, format_instant
from stream_app.sources.files import SourceFile
from tests.integration.test_worker import (
    BACKTEST,
    NOW_MS,
    PATIENCE_SECONDS,
    TOTALS,
    Deploy,
    Deployment,
    Input,
    deploy,
    input_of,
    partition_of,
    stopped,
)
from tests.reference.row import Row
from tests.support.events import START_MS, engagement, profile, purchase
from tests.support.tables import row_of
from tests.support.totals import EXACT

__all__ = ["deploy"]

PARTITIONS = 4
BUYERS: Mapping[str, Any] = {
    "kind": "rules",
    "name": "buyers",
    "segments": [
        {"id": "many", "name": "Many", "when": {"figure": "purchases", "at_least": 3}},
        {"id": "few", "name": "Few", "when": {"figure": "purchases", "at_least": 1}},
    ],
    "otherwise": {"id": "none", "name": "None"},
}
LOOKERS = {"kind": "audience", "name": "lookers", "when": {"event": "product_viewed", "at_least": 4}}
GOLD = {"kind": "audience", "name": "gold", "when": {"trait": "plan", "equals": "gold"}}
PAIRS = [(f"device-{number}", f"customer-{number}") for number in range(12)]
BEFORE, BETWEEN, AFTER = PAIRS[:4], PAIRS[4:8], PAIRS[8:]
CHAIN = [("mail", "tablet"), ("tablet", "customer-0"), ("customer-1", "customer-0"), ("customer-0", "customer-1")]
"""The last one says nothing that is to be believed."""
KIOSK = [("kiosk", f"customer-{number}") for number in range(2, 4)]


def said(alias: str, customer_id: str, day: float) -> Input:
    at = format_instant(START_MS + round(day * DAY_MS))
    value = json.dumps({"type": "merge", "customer_id": customer_id, "alias": alias, "observed_at": at}).encode()
    return Input("identities", customer_id.encode(), value)


def linked(alias: str, customer_id: str, day: float) -> Input:
    statement = said(alias, customer_id, day)
    return statement._replace(value=statement.value and statement.value.replace(b'"merge"', b'"link"'))


def acts(day: float) -> list[Input]:
    """Return what all ids do on a day."""
    ids = [each for pair in PAIRS for each in pair] + ["mail", "tablet", "customer-99"]
    inputs: list[Input] = []
    for number, customer_id in enumerate(ids):
        at_day = day + number / 100
        inputs.append(input_of(engagement(at_day, customer_id=customer_id), "engagements"))
        if number % 2:
            event = purchase(at_day, customer_id=customer_id, order_id=f"o {customer_id} {day}")
            inputs.append(input_of(event))
        if number % 5 == 0:
            told = profile(at_day, customer_id, plan="gold" if day < 2 else "silver", city=customer_id)
            inputs.append(input_of(told, "profiles"))
    return inputs


def placed_at_the_end(deployment: Deployment) -> dict[tuple[str, str], str]:
    """Return by segmentation and customer the segment that memberships name last."""
    found: dict[tuple[str, str], str] = {}
    for message in deployment.read(deployment.topics.memberships):
        segmentation, _, customer_id = (message.key() or b"").decode().partition("/")
        found.pop((segmentation, customer_id), None)
        if message.value() is not None:
            found[segmentation, customer_id] = json.loads(message.value() or b"")["segment"]["id"]
    return found


def living(rows: Mapping[str, Row]) -> dict[str, Row]:
    return {customer_id: row for customer_id, row in rows.items() if row.first_at_ms <= -NO_TIME}


def assert_as_replayed(deployment: Deployment, inputs: Iterable[Input], folder: Path) -> None:
    """Compare rows and memberships with those of a replay of the same records."""
    lines: defaultdict[str, list[bytes]] = defaultdict(list)
    for each in inputs:
        lines[each.topic].append(each.value or b"")
    sources = []
    for topic, values in lines.items():
        (path := folder / f"{topic}.jsonl").write_bytes(b"\n".join(values))
        sources.append(SourceFile(path, topic, {}, {}, None))
    run = create_replay(deployment.settings, folder / "out")
    readers = create_readers(deployment.settings, sources, NOW_MS)
    run.run(readers)
    for reader in readers:
        reader.close()
    table = run.partition.table
    rows = living(deployment.rows())
    assert rows.keys() == {each for number, each in enumerate(table.customer_ids) if not table.has_ended(number)}
    for customer_id, row in rows.items():
        expected = row_of(table, table.find(customer_id))
        for name in {*TOTALS, *EXACT}:
            assert getattr(row, name) == getattr(expected, name), (customer_id, name)
    replayed = map(json.loads, (folder / "out" / "memberships.jsonl").read_bytes().splitlines())
    expected_places = {(each["segmentation"], each["customer_id"]): each["segment"]["id"] for each in replayed}
    assert placed_at_the_end(deployment) == expected_places


def run(deployment: Deployment, *arguments: str) -> str:
    """Return what a command of the deployment prints."""
    environment = dict(each.split("=", 1) for each in deployment._environment)
    result = CliRunner().invoke(segmenter, arguments, env=environment)
    assert result.exit_code == 0, result.output
    return result.output


def test_statements_before_between_and_after_events_end_as_in_a_replay_though_workers_are_killed(
    deploy: Deploy, tmp_path: Path
) -> None:
    deployment = deploy(
        kafka={"partitions": PARTITIONS, "session_timeout_seconds": 6},
        worker=BACKTEST,
        segmentations=[BUYERS, LOOKERS, GOLD],
        identities={"enabled": True},
    )
    sent: list[Input] = []

    def send(*parts: list[Input]) -> None:
        for part in parts:
            sent.extend(part)
            deployment.produce(part)

    send([linked(*pair, 0.5) for pair in BEFORE], [linked(*pair, 0.5) for pair in KIOSK], acts(0))
    deployment.begin_worker()
    victim = deployment.start_worker()
    deployment.wait_until_drained()
    send([linked(*pair, 0.5) for pair in BETWEEN], [said(*pair, 0.6) for pair in CHAIN[:2]], acts(1))
    victim.signal(signal.SIGKILL)
    assert victim.wait(PATIENCE_SECONDS) < 0
    deployment.workers.remove(victim)
    send(acts(2), [said(*CHAIN[2], 0.7), said(*CHAIN[3], 0.8)])
    deployment.start_worker()
    deployment.wait_until_drained()
    late = [linked(*pair, 5) for pair in AFTER]
    sent += late
    (file := tmp_path / "late.jsonl").write_bytes(b"\n".join(each.value or b"" for each in late))
    assert "sent 4 records to" in run(deployment, "produce", "--identities", str(file))
    aliases = {alias for alias, _ in (*PAIRS, *CHAIN[:3])}
    deployment.wait(lambda: not aliases & living(deployment.rows()).keys(), "ids that have ended")
    deployment.wait_until_drained()
    stopped(deployment)

    shown = run(deployment, "identities", "show", "tablet").splitlines()
    assert shown[0] == "customer-0: 6 ids"
    assert "  refused: customer-0 → customer-1 (merge, 2024-01-01T19:12:00.000Z): identity_cycle" in shown
    crossing = [pair for pair in PAIRS if len({partition_of(each.encode(), PARTITIONS) for each in pair}) == 2]
    assert crossing
    assert len(deployment.read(deployment.topics.handovers)) >= 3
    renamed = [m for m in deployment.read(deployment.topics.input_topic("engagements")) if m.headers()]
    assert {dict(m.headers() or [])["alias"].decode() for m in renamed} <= aliases
    assert renamed
    told = deployment.values(deployment.topics.dead_letters)
    letters = sorted((each["reason"], each["position"]["topic"]) for each in told)
    assert letters == [(reason, deployment.topics.identities) for reason in ("identity_cycle", "shared_alias")]
    assert_as_replayed(deployment, sent, tmp_path)
    moves = deployment.values(deployment.topics.migrations)
    into = {move["customer_id"]: move["merged_into"] for move in moves if "merged_into" in move}
    assert into.keys() <= aliases
    found = asyncio.run(verify(create_deployment(deployment.settings), is_drained=True))
    assert found.tally.is_clean, found.tally.examples
    assert found.figures["customers of several ids"] == 9
    assert found.figures["customers of several ids left open"] == 2
    assert found.figures["refused statements on ids"] == 2
