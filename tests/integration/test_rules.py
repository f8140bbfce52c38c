"""Rules and audiences on a real broker: silence is told without events, restarts go on, definitions take over."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.wall_clock import now_ms
from stream_app.contracts.fields import parse_instant
from stream_app.core.clock import DAY_MS, SECOND_MS, format_instant
from tests.integration.test_worker import BACKTEST, Deploy, Deployment, Input, deploy, input_of, stopped
from tests.support.events import START_MS, engagement, purchase

__all__ = ["deploy"]

LIVE = {"sweep_interval_seconds": 1, "idle_seconds": 1}
LASTS_SECONDS = 20
RECENT = {"kind": "audience", "name": "recent", "when": {"event": "order_completed", "last": f"{LASTS_SECONDS}s"}}
BUYERS: Mapping[str, Any] = {
    "kind": "rules",
    "name": "buyers",
    "segments": [{"id": "new", "name": "New", "when": {"figure": "purchases", "at_most": 1}}],
    "otherwise": {"id": "regular", "name": "Regular"},
}


def customers(count: int) -> list[str]:
    return [f"customer-{number}" for number in range(count)]


def bought_now(customer_ids: Sequence[str]) -> dict[str, int]:
    """Return of each customer an instant of just now, all different."""
    at_ms = now_ms()
    return {customer_id: at_ms - number for number, customer_id in enumerate(customer_ids)}


def purchases_at(instants: Mapping[str, int]) -> Iterator[Input]:
    for customer_id, at_ms in instants.items():
        yield input_of(purchase((at_ms - START_MS) / DAY_MS, customer_id=customer_id))


def profile_of(customer_id: str, number: int, at_ms: int, traits: str) -> Input:
    common = f'"event_id": "profile {customer_id} {number}", "customer_id": "{customer_id}"'
    value = f'{{{common}, "observed_at": "{format_instant(at_ms)}", "traits": {traits}}}'
    return Input("profiles", customer_id.encode(), value.encode())


def told_of(deployment: Deployment, topic: str, segmentation: str) -> dict[str, list[dict[str, Any]]]:
    """Return by customer what was told of a segmentation, in the order of the log."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for document in deployment.values(topic):
        if document["segmentation"] == segmentation:
            found[document["customer_id"]].append(document)
    return found


def has_left(deployment: Deployment, customer_ids: Sequence[str], segmentation: str = "recent") -> bool:
    told = told_of(deployment, deployment.topics.migrations, segmentation)
    return all(told[customer_id] and told[customer_id][-1]["change"] == "left" for customer_id in customer_ids)


def test_silent_customers_leave_an_audience_at_their_instants_without_an_event(deploy: Deploy) -> None:
    deployment = deploy(kafka={"partitions": 2}, worker=LIVE, segmentations=[RECENT])
    deployment.start_worker()
    instants = bought_now(customers(12))
    deployment.produce(purchases_at(instants))
    deployment.wait(lambda: has_left(deployment, list(instants)), "customers who leave")
    stopped(deployment)
    for customer_id, told in told_of(deployment, deployment.topics.migrations, "recent").items():
        assert [move["change"] for move in told] == ["entered", "left"]
        assert told[1]["cause"] == {"kind": "lapse", "event_id": None, "position": None}
        entered_ms, left_ms = (parse_instant(move["effective_at"]) for move in told)
        assert (entered_ms, left_ms) == (instants[customer_id], instants[customer_id] + LASTS_SECONDS * SECOND_MS)


def test_a_killed_worker_is_followed_by_one_that_tells_each_notice_and_move_once(deploy: Deploy) -> None:
    warned = {**RECENT, "warn_before": "15s"}
    deployment = deploy(kafka={"partitions": 2}, worker=LIVE, segmentations=[BUYERS, warned])
    first = deployment.start_worker()
    instants = bought_now(customers(12))
    deployment.produce(purchases_at(instants))

    def is_warned() -> bool:
        return told_of(deployment, deployment.topics.upcoming, "recent").keys() == instants.keys()

    deployment.wait(is_warned, "a notice of everybody")
    first.kill()
    deployment.workers.clear()
    active = customers(4)
    deployment.produce(  # three of them buy again: two notices are averted
        input_of(purchase((instants[c] + SECOND_MS - START_MS) / DAY_MS, customer_id=c, event_id=f"again {c}"))
        for c in active
    )
    deployment.start_worker()
    deployment.wait(lambda: has_left(deployment, list(instants)), "customers who leave")
    stopped(deployment)
    moves = told_of(deployment, deployment.topics.migrations, "recent")
    notices = told_of(deployment, deployment.topics.upcoming, "recent")
    for customer_id, at_ms in instants.items():
        last_ms = at_ms + (SECOND_MS if customer_id in active else 0)
        assert [(move["sequence"], move["change"]) for move in moves[customer_id]] == [(1, "entered"), (2, "left")]
        assert parse_instant(moves[customer_id][1]["effective_at"]) == last_ms + LASTS_SECONDS * SECOND_MS
        told = notices[customer_id]
        assert [notice["sequence"] for notice in told] == list(range(1, len(told) + 1))
        assert told[-1]["status"] == "upcoming"
        assert told[-1]["leaves_at"] == moves[customer_id][1]["effective_at"]
        assert len({notice["leaves_at"] for notice in told if notice["status"] == "upcoming"}) == 1 + (
            customer_id in active
        )
    segments = {c: [m["to_segment"]["id"] for m in told] for c, told in buyers_of(deployment).items()}
    assert segments == {c: ["new", "regular"] if c in active else ["new"] for c in instants}


def buyers_of(deployment: Deployment) -> dict[str, list[dict[str, Any]]]:
    return told_of(deployment, deployment.topics.migrations, "buyers")


def test_profiles_move_customers_and_are_known_after_a_restart(deploy: Deploy) -> None:
    gold = {"kind": "audience", "name": "gold", "when": {"all": [
        {"trait": "plan", "equals": "gold"}, {"event": "product_viewed", "at_least": 2},
    ]}}  # fmt: skip
    deployment = deploy(kafka={"partitions": 2}, worker=BACKTEST, segmentations=[gold])
    known = customers(8)
    deployment.produce(profile_of(c, 1, START_MS + number, '{"plan": "gold"}') for number, c in enumerate(known))
    deployment.produce(input_of(engagement(1, customer_id=c), "engagements") for c in known)
    first = deployment.start_worker()
    deployment.wait_until_drained()
    first.kill()
    deployment.workers.clear()
    deployment.produce(input_of(engagement(2, customer_id=c), "engagements") for c in known)
    deployment.produce(profile_of(c, 2, START_MS + 3 * DAY_MS, '{"plan": null}') for c in known[:3])
    deployment.start_worker()
    deployment.wait_until_drained()
    stopped(deployment)
    told = told_of(deployment, deployment.topics.migrations, "gold")
    assert told.keys() == set(known)
    for number, customer_id in enumerate(known):
        expected = [("entered", "engagement"), ("left", "profile")] if number < 3 else [("entered", "engagement")]
        assert [(move["change"], move["cause"]["kind"]) for move in told[customer_id]] == expected


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_nobody_moves_under_the_former_definition_once_another_is_in_force(
    deploy: Deploy, kafka: str, topic_prefix: str, tmp_path: Path, is_killed: bool
) -> None:
    former = deploy(kafka={"partitions": 2}, worker=BACKTEST, segmentations=[BUYERS])
    everybody = customers(16)
    former.produce(input_of(purchase(day, customer_id=c)) for day in range(2) for c in everybody)
    former.start_worker()
    former.wait_until_drained()
    (tmp_path / "later").mkdir()
    changed = {**BUYERS, "segments": [{**BUYERS["segments"][0], "when": {"figure": "purchases", "at_most": 3}}]}
    sections = {"kafka": {"partitions": 2}, "worker": BACKTEST}
    later = Deployment(kafka, topic_prefix, tmp_path / "later", [changed], **sections)
    try:
        later.begin_worker()  # both are there for a while; the one that has the trainers says what is in force
        (worker,) = former.workers
        if is_killed:
            worker.kill()
        else:
            stopped(former)
        former.workers.clear()
        later.wait(lambda: later.readiness(0).get("versions", {}).get("buyers", 0) >= 2, "the changed definition")
        later.produce(input_of(purchase(10 + day, customer_id=c)) for day in range(2) for c in everybody[:8])
        later.wait_until_drained()
        later.wait(lambda: all(len(told) >= 3 for told in buyers_of(later).values()), "moves by the definition")
        stopped(later)
    finally:
        later.discard()
    newest: Counter[int] = Counter()
    for message in later.read(later.topics.migrations):
        partition, move = message.partition() or 0, json.loads(message.value() or b"")
        assert move["model_version"] >= newest[partition]
        newest[partition] = move["model_version"]
    ends = {c: told[-1]["to_segment"]["id"] for c, told in buyers_of(later).items()}
    assert ends == {c: "regular" if c in everybody[:8] else "new" for c in everybody}
