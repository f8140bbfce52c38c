"""One request to a real endpoint: what is accepted as an answer, and where nothing is sent at all."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream_app.errors import ConfigurationError
from stream_app.webhooks.addresses import parse_networks
from stream_app.webhooks.messages import build_messages
from stream_app.webhooks.sending import Answer, Sender, SendingPolicy, Verdict, create_tls, judge
from stream_app.webhooks.subscriptions import Subscription
from tests.support.processes import free_port
from tests.support.programs import find_program
from tests.webhooks.deliveries import migration, subscription
from tests.webhooks.receiver import HANG, Receiver, Reply

NOW = datetime(2024, 5, 25, 6, 30, tzinfo=UTC)


def local_rules(**changes: Any) -> SendingPolicy:
    given: dict[str, Any] = {
        "timeout_seconds": 60.0,
        "connections_max": 4,
        "allowed": parse_networks("127.0.0.0/8"),
        "allows_http": True,
        "tls": create_tls(None),
    }
    return SendingPolicy(**(given | changes))


def send(url: str, rules: SendingPolicy | None = None, times: int = 1) -> list[Answer]:
    """Return the answers to one message, sent some times in a row."""
    (message,) = build_messages("cloudevents", migration(), "segmenter")

    async def play() -> list[Answer]:
        sender = Sender(Subscription.model_validate(subscription("crm", url)), rules or local_rules())
        try:
            return [await sender.send(message) for _ in range(times)]
        finally:
            await sender.close()

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (302, Verdict.FAILED),
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (410, Verdict.REFUSED),
        (408, Verdict.FAILED),
        (425, Verdict.FAILED),
        (429, Verdict.FAILED),
        (500, Verdict.FAILED),
        (503, Verdict.FAILED),
    ],
)
def test_status_decides(status: int, verdict: Verdict) -> None:
    assert judge(status, None, NOW) == Answer(verdict, f"HTTP {status}")


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, " 7 ", 7),
        (429, "Sat, 25 May 2024 06:31:30 GMT", 90),
        (429, "Sat, 25 May 2024 06:29:00 GMT", 0),
        (429, "soon", 0),
        (429, "-5", 0),
        (429, "9" * 40, 0),
        (500, "120", 0),
    ],
)
def test_endpoint_may_say_when(status: int, header: str, seconds: float) -> None:
    assert judge(status, header, NOW).retry_after_seconds == seconds


def test_redirect_is_not_followed_and_no_cookie_comes_back() -> None:
    elsewhere = {"Location": "/inside", "Set-Cookie": "a=b"}
    with Receiver({"/": lambda *_: Reply(302, elsewhere)}) as receiver:
        answers = send(f"{receiver.url}/", times=2)
    assert [answer.reason for answer in answers] == ["HTTP 302"] * 2
    assert [request.path for request in receiver.requests] == ["/", "/"]
    assert not [request for request in receiver.requests if "cookie" in request.headers]


def test_answer_without_end_is_cut_off() -> None:
    with Receiver({"/": lambda *_: Reply(200, is_endless=True)}) as receiver:
        assert [answer.verdict for answer in send(f"{receiver.url}/", times=2)] == [Verdict.DELIVERED] * 2


def test_endpoint_that_hangs_or_is_not_there_is_a_failure() -> None:
    with Receiver({"/": lambda *_: Reply(HANG)}) as receiver:
        (hung,) = send(f"{receiver.url}/", local_rules(timeout_seconds=0.3))
    assert hung == Answer(Verdict.FAILED, "no answer in time")
    assert send(f"http://127.0.0.1:{free_port()}/") == [Answer(Verdict.FAILED, "no connection")]
    assert send("http://nowhere.invalid/") == [Answer(Verdict.FAILED, "name not resolved")]


def test_something_else_than_http_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        server.listen()

        async def play() -> Answer:
            async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"220 mail.example ESMTP\r\n")
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(speak, sock=server):
                (message,) = build_messages("cloudevents", migration(), "segmenter")
                url = f"http://127.0.0.1:{server.getsockname()[1]}/"
                sender = Sender(Subscription.model_validate(subscription("crm", url)), local_rules())
                try:
                    return await sender.send(message)
                finally:
                    await sender.close()

        assert asyncio.run(play()).verdict is Verdict.FAILED


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.0.0.1"])
def test_name_of_an_address_inside_is_not_called(host: str) -> None:
    with Receiver() as receiver:
        answers = send(f"http://{host}:{receiver.port}/", local_rules(allowed=()))
    assert answers == [Answer(Verdict.FAILED, "address not allowed")]
    assert receiver.requests == []


def test_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["127.0.0.1", "10.0.0.1", "10.0.0.1"])
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return real(next(answers) if host == "rebinding.example" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Receiver() as receiver:
        (answer,) = send(f"http://rebinding.example:{receiver.port}/")
    assert answer.verdict is Verdict.DELIVERED
    assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.port}"
    assert next(answers) == "10.0.0.1"  # it was looked up once


def test_address_inside_or_without_tls_stops_the_start() -> None:
    for url in ("https://169.254.169.254/", "https://[::ffff:10.0.0.1]/", "https://[::1]:8443/"):
        with pytest.raises(ConfigurationError, match=r"subscription crm: .* is not on the public internet"):
            local_rules(allowed=()).check(Subscription.model_validate(subscription("crm", url)))
    with pytest.raises(ConfigurationError, match="subscription crm: its url begins with http:, expected https:"):
        local_rules(allows_http=False).check(Subscription.model_validate(subscription("crm", "http://crm.example/")))


def test_certificate_must_be_trusted_and_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    find_program("openssl")
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {key} -out "
    command += f"{certificate} -subj /CN=test -addext subjectAltName=DNS:hook.example"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=120)
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if ".example" in str(host) else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trusting = local_rules(tls=create_tls(certificate), allows_http=False)
    with Receiver(tls=context) as receiver:
        (unknown,) = send(f"https://hook.example:{receiver.port}/", local_rules())
        (misnamed,) = send(f"https://other.example:{receiver.port}/", trusting)
        (good,) = send(f"https://hook.example:{receiver.port}/", trusting)
    assert unknown == misnamed == Answer(Verdict.FAILED, "certificate not accepted")
    assert good.verdict is Verdict.DELIVERED
    assert len(receiver.requests) == 1
    with pytest.raises(ConfigurationError, match=r"setting webhooks\.ca_file: .*, expected a file of certificates"):
        create_tls(key)
