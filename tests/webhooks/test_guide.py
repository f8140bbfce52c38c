"""What docs/webhooks.md says to receivers is true: its examples run as printed, and other libraries agree."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import pytest
import yaml

from stream_app.webhooks.messages import Message
from stream_app.webhooks.sending import Sender
from stream_app.webhooks.signing import Signer
from stream_app.webhooks.subscriptions import Subscription, load_subscriptions
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.programs import find_program
from tests.webhooks.deliveries import (
    PATIENCE_SECONDS,
    ROOT,
    as_read,
    messages,
    migration,
    rules_migration,
    secret,
    subscription,
)
from tests.webhooks.test_sending import local_rules

GUIDE: Final = ROOT.joinpath("docs", "webhooks.md").read_text("utf-8")
VERIFY: Final = Path(__file__).parent / "verify"


def block(language: str) -> str:
    """Return the guide's one block in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```\n", GUIDE, re.DOTALL)
    return str(found)


class Endpoint(NamedTuple):
    url: str
    log: Path


@pytest.fixture(params=["python", "javascript"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """Run the guide's example in a language."""
    if request.param == "python":
        script = tmp_path / "receive.py"
        command = [sys.executable, "-W", "error", str(script)]
    else:
        script = install_library(tmp_path) / "receive.mjs"
        command = ["node", str(script)]
    script.write_text(block(request.param), "utf-8")
    port, log = free_port(), tmp_path / "log"
    server = ServerProcess(["env", f"PORT={port}", f"SECRET={secret('crm')}", *command], log)
    server.start()
    try:
        wait_for(lambda: listens(port) or not server.is_running, PATIENCE_SECONDS, "the example to listen")
        assert server.is_running, log.read_text("utf-8")
        yield Endpoint(f"http://127.0.0.1:{port}/hook", log)
    finally:
        server.discard()


def install_library(folder: Path) -> Path:
    find_program("node")
    npm = find_program("npm")
    place = folder / "verify"
    shutil.copytree(VERIFY, place)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return place


def listens(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False


def test_example_takes_signed_messages_once_and_refuses_others(endpoint: Endpoint) -> None:
    first, second = (build("zoë", sequence) for sequence in (1, 2))
    (other,) = messages("cloudevents", rules_migration("zoë", 1))

    stranger = Signer(crm(endpoint.url, "stranger").keys)
    assert deliver(endpoint, first, first, second, first, other) == ["HTTP 204"] * 5
    assert post(endpoint, first, Signer(crm(endpoint.url).keys).headers(first, datetime.now(UTC))) == 204
    assert post(endpoint, build("mallory", 1), Signer(crm(endpoint.url).keys).headers(first, datetime.now(UTC))) == 401
    assert post(endpoint, first, stranger.headers(first, datetime.now(UTC))) == 401
    assert post(endpoint, first, {}) == 401
    lines = [line for line in endpoint.log.read_text("utf-8").splitlines() if "zoë" in line]
    assert lines == ["value zoë 1 At risk", "value zoë 2 At risk", "lifecycle zoë 1 Slipping away"]


def deliver(endpoint: Endpoint, *messages: Message) -> list[str]:
    async def play() -> list[str]:
        sender = Sender(crm(endpoint.url), local_rules())
        try:
            return [(await sender.send(message)).reason for message in messages]
        finally:
            await sender.close()

    return asyncio.run(play())


def post(endpoint: Endpoint, message: Message, headers: dict[str, str]) -> int:
    return httpx.post(endpoint.url, content=message.body.encode(), headers=headers, trust_env=False).status_code


def build(customer: str, sequence: int) -> Message:
    (message,) = messages("cloudevents", migration(customer, sequence))
    return message


def crm(url: str, seed: str = "crm") -> Subscription:
    return Subscription.model_validate(subscription("crm", url) | {"secret": secret(seed)})


def test_subscriptions_of_the_guide_are_read(tmp_path: Path) -> None:
    values = yaml.safe_load(block("yaml"))
    file = tmp_path / "secret"
    file.write_text(secret("crm"), "utf-8")
    for each in values["subscriptions"][:2]:
        each["secret_file"] = str(file)
    path = tmp_path / "webhooks.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    one, early, two = load_subscriptions(path)
    assert (one.name, one.body, one.start, one.filter.to_segments) == (
        "crm",
        "cloudevents",
        "latest",
        ("value/s5",),
    )
    assert one.filter.migration_filter().selects(as_read(migration()))
    assert (early.topic, early.filter.status) == ("upcoming", ("upcoming", "averted"))
    assert (two.name, two.body, two.start) == ("segment", "segment", "earliest")


def test_event_of_segment_s_form_is_as_the_guide_has_it() -> None:
    shown = yaml.safe_load(block("json"))  # JSON is YAML
    record = migration() | {"migration_id": "0123456789abcdef0123456789abcdef"}
    _, entered = messages("segment", record)
    assert yaml.safe_load(entered.body) == shown
    assert entered.id == shown["messageId"]
