"""`segmenter webhooks` as a process, on a real Kafka, against endpoints that fail, hang, refuse and die."""

from __future__ import annotations

import random
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from standardwebhooks import Webhook

from stream_app.cli import main
from tests.support.processes import free_port, wait_for
from tests.webhooks.deliveries import (
    PATIENCE_SECONDS,
    Deployment,
    histories,
    migration,
    rules_migration,
    secret,
    subscription,
    with_margin,
)
from tests.webhooks.receiver import HANG, Behaviour, Receiver, Reply, Request

RETRY_AFTER_SECONDS: Final = 1


@pytest.fixture
def deployment(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(kafka, topic_prefix, tmp_path)
    yield made
    made.discard()


def flaky(seed: int, share: float = 0.3) -> Behaviour:
    """Answer some of the requests with an error, an appeal for patience, or not at all."""
    draw = random.Random(seed)
    asked_for_patience = set()
    hangs = 0

    def behave(message_id: str, _: dict[str, Any]) -> Reply:
        nonlocal hangs
        if draw.random() >= share:
            return Reply(204)
        if not asked_for_patience:
            asked_for_patience.add(message_id)
            return Reply(429, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        if hangs < 3:
            hangs += 1
            return Reply(HANG)
        return Reply(draw.choice((500, 502, 408, 301)))

    return behave


def moves(requests: Iterable[Request]) -> dict[str, list[int]]:
    """Return the sequences of each customer's first arrivals, in their order."""
    found: dict[str, list[int]] = defaultdict(list)
    for request in requests:
        customer, sequence = request.move
        if sequence not in found[customer]:
            found[customer].append(sequence)
    return found


def expected(migrations: Sequence[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for record in migrations:
        found[record["customer_id"]].append(record["sequence"])
    return found


def wait_for_all(receiver: Receiver, path: str, count: int) -> None:
    wait_for(
        lambda: len({request.id for request in receiver.accepted(path)}) >= count, PATIENCE_SECONDS, f"all on {path}"
    )


def test_every_migration_arrives_in_order_whatever_its_endpoint_and_the_others_do(deployment: Deployment) -> None:
    migrations = histories(customers=30, moves=4)
    deployment.change(request_timeout_seconds=1)  # a slow machine then shows as failed attempts
    dying = Receiver()
    with Receiver({"/flaky": flaky(1), "/hanging": lambda *_: Reply(HANG)}) as receiver:
        dying.start()
        deployment.subscribe(
            subscription("steady", f"{receiver.url}/steady"),
            subscription("flaky", f"{receiver.url}/flaky"),
            subscription("hanging", f"{receiver.url}/hanging"),
            subscription("dead", f"http://127.0.0.1:{free_port()}/"),
            subscription("dying", f"{dying.url}/dying"),
        )
        process = deployment.start()
        process.wait_until_ready()
        deployment.publish(migrations[:60], aborted=[migration("ghost", 1)])
        wait_for_all(dying, "/dying", 60)
        dying.stop()
        deployment.publish(migrations[60:])
        wait_for_all(receiver, "/steady", len(migrations))
        wait_for_all(receiver, "/flaky", len(migrations))
        dying.start()
        wait_for_all(dying, "/dying", len(migrations))
        wait_for(lambda: has_settled(process.figures(), len(migrations)), PATIENCE_SECONDS, "the figures to say so")
        figures = process.figures()
        assert process.server.stop() == 0
        dying.stop()
    for endpoint, path in ((receiver, "/steady"), (receiver, "/flaky"), (dying, "/dying")):
        assert moves(endpoint.accepted(path)) == expected(migrations)
    attempts = [request for request in receiver.requests if request.path == "/flaky"]
    assert_order_holds_at_each_attempt(attempts)
    assert_patience_was_had(attempts)
    assert figures["webhook_deliveries_total", "retried", "dead"] > 0
    assert ("webhook_deliveries_total", "delivered", "dead") not in figures
    assert figures["ready",] == 1
    for request in receiver.accepted("/steady"):
        Webhook(secret("steady")).verify(request.body, dict(request.headers))


def has_settled(figures: dict[tuple[str, ...], float], count: int) -> bool:
    """Tell whether everything is delivered to one and nothing to another."""
    pending = [figures.get(("webhook_pending_deliveries", name)) for name in ("steady", "dead")]
    return pending == [0, count] and figures["webhook_deliveries_total", "delivered", "steady"] == count


def assert_order_holds_at_each_attempt(requests: Sequence[Request]) -> None:
    """No migration is even tried before all earlier ones of its customer are delivered."""
    delivered: dict[str, int] = defaultdict(int)
    for request in requests:
        customer, sequence = request.move
        assert sequence <= delivered[customer] + 1
        if 200 <= request.status < 300:
            delivered[customer] = max(delivered[customer], sequence)


def assert_patience_was_had(requests: Sequence[Request]) -> None:
    (asked,) = [request for request in requests if request.status == 429]
    again = next(request for request in requests if request.id == asked.id and request.at > asked.at)
    assert again.at - asked.at >= RETRY_AFTER_SECONDS


def test_killed_process_loses_nothing_and_the_order_stays(deployment: Deployment) -> None:
    migrations = histories(customers=40, moves=6)
    deployment.change(request_timeout_seconds=1)  # a slow machine then shows as failed attempts
    with Receiver({"/flaky": flaky(2, share=0.05)}) as receiver:
        deployment.subscribe(subscription("flaky", f"{receiver.url}/flaky"))
        deployment.publish(migrations)
        first, second = deployment.start(), deployment.start()
        wait_for(lambda: len(receiver.accepted("/flaky")) > 60, PATIENCE_SECONDS, "some deliveries")
        first.server.kill()
        seen = len(receiver.accepted("/flaky"))
        wait_for_all(receiver, "/flaky", len(migrations))
        figures_of_second = second.server.stop()
    assert seen < len(migrations)
    assert figures_of_second == 0
    assert moves(receiver.accepted("/flaky")) == expected(migrations)


def test_restarted_process_sends_nothing_twice_that_was_committed(deployment: Deployment) -> None:
    poisoned = {"c1"}

    def behave(_: str, event: dict[str, Any]) -> Reply:
        return Reply(500 if event["subject"] in poisoned else 204)

    migrations = histories(customers=6, moves=3)
    deployment.change(max_waiting=5)  # so that reading pauses, too
    with Receiver({"/": behave}) as receiver:
        deployment.subscribe(subscription("one", f"{receiver.url}/"))
        deployment.publish(migrations)
        process = deployment.start()
        wait_for_all(receiver, "/", 15)
        assert process.server.stop() == 0  # what is under way is answered first
        poisoned.clear()
        deployment.start()
        wait_for_all(receiver, "/", 18)
    accepted = [request.move for request in receiver.accepted("/")]
    assert len(accepted) == len(set(accepted)) == 18


def test_hopeless_migrations_are_dead_letters_and_go_out_again_by_replay(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.change(give_up_after_seconds=1)
    is_mended = False

    def refuse(status: int) -> Behaviour:
        def behave(_: str, event: dict[str, Any]) -> Reply:
            return Reply(204 if is_mended or event["data"]["sequence"] != 2 else status)

        return behave

    migrations = histories(customers=3, moves=3)
    with Receiver({"/gone": refuse(410), "/broken": refuse(503)}) as receiver:
        deployment.subscribe(
            subscription("gone", f"{receiver.url}/gone"), subscription("broken", f"{receiver.url}/broken")
        )
        deployment.publish(migrations)
        process = deployment.start()
        wait_for_all(receiver, "/gone", 6)
        wait_for_all(receiver, "/broken", 6)
        figures = process.figures()
        process.server.stop()
        dead = deployment.dead_letters()
        before = len(receiver.requests)
        is_mended = True
        with pytest.MonkeyPatch.context() as patched:
            for name, value in deployment.environment.items():
                patched.setenv(name, value)
            first = replay(capsys, "--subscription", "gone")
            sent = receiver.requests[before:]
            second = replay(capsys, "--subscription", "gone")
            is_mended = False
            third = replay(capsys, "--patience", "0")
            unknown = replay(capsys, "--subscription", "nobody")
    assert figures["webhook_deliveries_total", "dead", "gone"] == 3
    assert ("webhook_deliveries_total", "retried", "gone") not in figures
    assert figures["webhook_deliveries_total", "retried", "broken"] >= 12
    assert sorted(headers["webhook_subscription"] for _, headers in dead) == ["broken"] * 3 + ["gone"] * 3
    by_name = {headers["webhook_subscription"]: headers for _, headers in dead}
    assert (by_name["gone"]["webhook_reason"], by_name["gone"]["webhook_attempts"]) == ("HTTP 410", "1")
    assert by_name["broken"]["webhook_reason"] == "HTTP 503"
    assert all(record == migration(record["customer_id"], 2) for record, _ in dead)
    assert first == (0, "gone: 3 delivered, 0 refused again\n")
    assert sorted(request.move for request in sent) == [("c0", 2), ("c1", 2), ("c2", 2)]
    assert second == (0, "gone: 0 delivered, 0 refused again\n")
    assert third == (1, "gone: 0 delivered, 0 refused again\nbroken: 0 delivered, 3 refused again\n")
    assert unknown == (2, "segmenter: --subscription: 'nobody', expected one of gone, broken\n")


def replay(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    """Return the exit status and what was printed."""
    status: object = 0
    try:
        main(["webhooks", "replay", *arguments])
    except SystemExit as ended:
        status = ended.code
    printed = capsys.readouterr()
    return status, printed.out or printed.err


def test_each_subscription_gets_the_segmentations_and_segments_it_names(deployment: Deployment) -> None:
    slipping = {"id": "slipping", "name": "Slipping away"}
    migrations = [
        migration("c1", 1, explanation=with_margin(0.6)),
        rules_migration("c1", 1),
        migration("c1", 2, explanation=with_margin(0.6)),
        rules_migration("c1", 2, from_segment=slipping, to_segment=None, change="left"),
    ]
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "value": {"segmentation": "value"},
        "slipping": {"to": "lifecycle/Slipping away"},
        "left": {"change": "left"},
        "clear": {"min_margin": 5},
    }
    expected_moves = {"all": (0, 1, 2, 3), "value": (0, 2), "slipping": (1,), "left": (3,), "clear": (1, 3)}
    with Receiver() as receiver:
        deployment.subscribe(
            *(subscription(name, f"{receiver.url}/{name}", filter=given) for name, given in filters.items())
        )
        deployment.publish(migrations)
        process = deployment.start()
        for name, wanted in expected_moves.items():
            wait_for_all(receiver, f"/{name}", len(wanted))
        assert process.server.stop() == 0
    for name, wanted in expected_moves.items():
        received = [request.event["data"] for request in receiver.accepted(f"/{name}")]
        assert received == [migrations[number] for number in wanted], name


def test_new_subscription_begins_with_what_comes_after_it(deployment: Deployment) -> None:
    with Receiver() as receiver:
        deployment.subscribe(subscription("new", f"{receiver.url}/new", start="latest"))
        deployment.publish(histories(customers=4, moves=1))
        process = deployment.start()
        process.wait_until_ready()
        deployment.publish([migration("c1", 2)])
        wait_for_all(receiver, "/new", 1)
        process.server.signal(signal.SIGINT)
        assert process.server.wait(PATIENCE_SECONDS) == 0
    assert [request.move for request in receiver.requests] == [("c1", 2)]


def test_neither_secrets_nor_addresses_are_told_to_anyone(deployment: Deployment, tmp_path: Path) -> None:
    planted = {"url": "token-in-the-url", "body": "words-of-the-endpoint", "key": secret("planted")[6:]}
    file = tmp_path / "secret"
    file.write_text(secret("planted"), "utf-8")

    def complain(*_: object) -> Reply:
        return Reply(500, {"X-Why": planted["body"]}, planted["body"].encode())

    with Receiver({f"/{planted['url']}": complain}) as receiver:
        described = subscription("leaky", f"{receiver.url}/{planted['url']}", secret_file=str(file))
        del described["secret"]
        deployment.subscribe(
            described,
            subscription("dead", f"http://127.0.0.1:{free_port()}/{planted['url']}") | {"secret": secret("planted")},
            subscription("refused", f"{receiver.url}/{planted['url']}", filter={"to": "nobody"}),
        )
        process = deployment.start()
        process.wait_until_ready()
        deployment.publish([migration()])
        wait_for(lambda: len(receiver.requests) > 3, PATIENCE_SECONDS, "some attempts")
        told = process.answers()
        process.server.stop()
    log = process.log.read_text("utf-8")
    assert log.count("delivering to leaky, dead, refused") == 1
    assert "subscription leaky: HTTP 500" in log
    for kind, word in planted.items():
        assert word not in log, kind
        assert word not in told, kind
