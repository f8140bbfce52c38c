"""Connections to Kafka as docs/security.md has them, on a broker that permits nothing else."""

from __future__ import annotations

import gzip
import json
import logging
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import faust
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from stream_app.bootstrap.kafka import create_connection
from stream_app.bootstrap.redis import create_redis_connection
from stream_app.cli import main
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import load_settings
from tests.support.processes import ServerProcess, free_port, wait_for
from tests.support.programs import find_program
from tests.support.replays import purchase_at, write_lines
from tests.support.secure_kafka import SecureKafka
from tests.support.services import Service, fetch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
REDIS_PAGE = ROOT / "docs" / "redis.md"
PATIENCE_SECONDS = 300
PREFIX = "shop-"
SECRET = "planted-secret"
WEBHOOK_SECRET = "whsec_cGxhbnRlZC1zZWNyZXQtb2YtYS13ZWJob29rIQ=="
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    users = "operator", "approver", "worker", "producer", "auditor", "view", "webhooks", "api", "stranger"
    with SecureKafka(tmp_path_factory.mktemp("secure"), users) as secure:
        secure.grant(PAGE, PREFIX)
        yield secure


def by_password(broker: SecureKafka, user: str, **changes: object) -> dict[str, str]:
    return _environment(
        bootstrap_servers=broker.sasl_ssl,
        security_protocol="SASL_SSL",
        username=user,
        password_file=broker.password_file(user),
        ca_file=broker.ca_file,
        **changes,
    )


def by_certificate(broker: SecureKafka, user: str, **changes: object) -> dict[str, str]:
    return _environment(
        bootstrap_servers=broker.ssl,
        security_protocol="SSL",
        ca_file=broker.ca_file,
        client_certificate_file=broker.certificate_file(user),
        client_key_file=broker.key_file(user),
        client_key_password=broker.key_password,
        **changes,
    )


def _environment(**kafka: object) -> dict[str, str]:
    settings = {f"SEGMENTER_KAFKA__{name.upper()}": str(value) for name, value in kafka.items() if value is not None}
    partitions = {"SEGMENTER_KAFKA__TOPIC_PREFIX": PREFIX, "SEGMENTER_KAFKA__PARTITIONS": "2"}
    return settings | partitions | {"SEGMENTER_DEPLOYMENT__PRODUCTION": "true"}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command under settings; return its exit code and what it said."""

    def run_command(environment: Mapping[str, str], *arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                main([str(argument) for argument in arguments])
                status = 0
            except SystemExit as exit_:
                status = int(exit_.code or 0)
        said = capsys.readouterr()
        return status, said.out + said.err

    return run_command


def halves(path: Path) -> Iterator[Path]:
    lines = gzip.decompress(path.read_bytes()).splitlines()
    for number, half in enumerate((lines[: len(lines) // 2], lines[len(lines) // 2 :])):
        yield write_lines(path.with_name(f"{number}-{path.name}"), half)


def test_worker_runs_by_password_and_by_certificate_with_the_documented_rights_alone(
    broker: SecureKafka, run: Run, tmp_path: Path
) -> None:
    said = []

    def succeed(environment: Mapping[str, str], *arguments: object) -> None:
        status, text = run(environment, *arguments)
        said.append(text)
        assert status == 0, text

    succeed({}, "simulate", "--customers", 300, "--days", 200, "--malformed-rate", 0.01, "--out", tmp_path)
    succeed(by_password(broker, "operator"), "topics", "create")
    succeed(by_password(broker, "operator"), "topics", "check")
    files = zip(halves(tmp_path / "purchases.jsonl.gz"), halves(tmp_path / "engagements.jsonl.gz"), strict=True)
    for way, (purchases, engagements) in zip((by_password, by_certificate), files, strict=True):
        succeed(
            way(broker, "producer"),
            "produce",
            "--max-rejected",
            0.1,
            "--purchases",
            purchases,
            "--engagements",
            engagements,
        )
        port = free_port()
        settings = {
            "SEGMENTER_WORKER__CLOCK": "event",
            "SEGMENTER_WORKER__HEALTH_PORT": str(port),
        }
        verify = way(broker, "auditor"), "verify", "--drained"
        with Service(tmp_path, way.__name__, ["worker"], way(broker, "worker") | settings) as worker:
            wait_for(
                lambda worker=worker, verify=verify: not worker.is_running or run(*verify)[0] == 0,
                PATIENCE_SECONDS,
                "the worker",
            )
            assert worker.is_running, worker.log()
            status, shown = run(way(broker, "approver"), "model", "show", "value", "--json")
            assert status == 0, shown
            version = json.loads(shown)["value"]["published"]["version"]
            succeed(way(broker, "approver"), "model", "pin", "value", version)
            succeed(way(broker, "approver"), "model", "unpin", "value")
            _, ready = fetch(f"http://127.0.0.1:{port}/ready")
            assert worker.stop() == 0, worker.log()[-3000:]
        said += [ready, worker.log()]
        succeed(*verify)
    readiness = json.loads(ready)
    said += run_downstream(broker, run, tmp_path)
    assert readiness["ready"]
    assert readiness["versions"]["value"] > 0, "models were learned and published too"
    for secret in (*broker.passwords.values(), broker.key_password):
        assert not any(secret in text for text in said)


def run_downstream(broker: SecureKafka, run: Run, folder: Path) -> list[str]:
    """Run view, API and webhooks with their own rights until they are ready; return what they said."""
    port = free_port()
    redis = ServerProcess(
        [find_program("redis-server"), broker.write_redis_config(REDIS_PAGE, port)], folder / "redis.log"
    )
    ports = {name: free_port() for name in ("view", "api", "webhooks")}
    subscriptions = folder / "webhooks.yaml"
    subscriptions.write_text(
        f"subscriptions: [{{name: nobody, url: 'https://127.0.0.1:{free_port()}/', secret: {WEBHOOK_SECRET}}}]", "utf-8"
    )
    settings = {
        "SEGMENTER_REDIS__URL": f"rediss://127.0.0.1:{port}/0",
        "SEGMENTER_REDIS__CA_FILE": str(broker.ca_file),
        "SEGMENTER_API__PORT": str(api := free_port()),
        "SEGMENTER_API__TOKENS": json.dumps(
            [{"name": "t", "sha256": sha256(SECRET.encode()).hexdigest(), "scopes": ["read:segments"]}]
        ),
        "SEGMENTER_WEBHOOKS__SUBSCRIPTIONS_FILE": str(subscriptions),
        "SEGMENTER_WEBHOOKS__ALLOWED_NETWORKS": "127.0.0.0/8",
        **{f"SEGMENTER_{name.upper()}__HEALTH_PORT": str(port) for name, port in ports.items()},
    }
    said = []
    redis.start()
    try:
        for name in ports:
            user = {
                "SEGMENTER_REDIS__USERNAME": name,
                "SEGMENTER_REDIS__PASSWORD_FILE": str(broker.password_file(name)),
            }
            own = by_password(broker, name) | settings | (user if name != "webhooks" else {})
            with Service(folder, name, [name], own) as service:
                ready = f"http://127.0.0.1:{ports[name]}/ready"
                wait_for(
                    lambda service=service, ready=ready: not service.is_running or fetch(ready)[0] == 200,
                    PATIENCE_SECONDS,
                    f"{name} to be ready",
                )
                said += [service.log(), *map(str, fetch(ready)), *map(str, fetch(ready.replace("ready", "metrics")))]
                if name == "api":
                    assert '"customers":' in look_up(f"http://127.0.0.1:{api}/v1/segmentations/value/segments", SECRET)
                assert service.stop() == 0, service.log()
                said.append(service.log())
            if name == "webhooks":
                status, text = run(own, "webhooks", "replay")
                assert (status, text.splitlines()[-1]) == (0, "nobody: 0 delivered, 0 refused again")
    finally:
        redis.discard()
    assert not any(WEBHOOK_SECRET in text or SECRET in text for text in said)
    return said


def look_up(url: str, token: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password_file": None, "password": SECRET}, "Authentication failed"),
        ({"ca_file": "stranger"}, "certificate verify failed"),
        ({"bootstrap_servers": "localhost"}, "Hostname mismatch"),
    ],
)
def test_refused_connection_is_one_line_with_the_reason(
    broker: SecureKafka, run: Run, changes: dict[str, Any], reason: str
) -> None:
    own = {
        "ca_file": broker.stranger_ca_file,
        "bootstrap_servers": broker.sasl_ssl.replace("127.0.0.1", "localhost"),
    }
    changes = {name: own.get(name, value) if value else value for name, value in changes.items()}
    environment = by_password(broker, "operator")
    for name, value in changes.items():
        environment.pop(f"SEGMENTER_KAFKA__{name.upper()}", None)
        if value is not None:
            environment[f"SEGMENTER_KAFKA__{name.upper()}"] = str(value)
    status, line = run(environment, "topics", "check")
    assert (status, line.count("\n"), reason in line, SECRET in line) == (1, 1, True, False), line


def test_user_without_rights_sees_no_topics_and_is_told_so(broker: SecureKafka, run: Run, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "one.jsonl", [purchase_at(1, "2024-05-01T12:00:00Z")])
    status, said = run(by_password(broker, "stranger"), "produce", "--purchases", path)
    assert (status, said.count("\n"), "refuses: [Error 31] ClusterAuthorizationFailed" in said) == (1, 2, True), said
    status, line = run(by_password(broker, "stranger") | {"SEGMENTER_WORKER__HEALTH_PORT": "0"}, "worker")
    assert (status, line.count("\n"), "is missing, or kept from this user" in line) == (2, 1, True), line


def connection_settings(monkeypatch: pytest.MonkeyPatch, **kafka: object) -> Any:
    for name, value in kafka.items():
        section, _, setting = name.rpartition("__")
        monkeypatch.setenv(f"SEGMENTER_{section or 'kafka'}__{setting}".upper(), str(value))
    return load_settings(None)


@pytest.mark.parametrize(
    ("kafka", "told"),
    [
        (
            {"deployment__production": True},
            "setting kafka.security_protocol: 'PLAINTEXT', expected 'SASL_SSL' or 'SSL'",
        ),
        ({"deployment__production": True, "security_protocol": "SASL_PLAINTEXT"}, "expected 'SASL_SSL' or 'SSL'"),
        (
            {"deployment__production": True, "security_protocol": "SSL", "verify_hostname": False},
            "setting kafka.verify_hostname: False, expected True",
        ),
        ({"ca_file": "ca.pem"}, "setting kafka.ca_file: has no use with kafka.security_protocol 'PLAINTEXT'"),
        ({"username": "worker"}, "setting kafka.username: has no use"),
        ({"security_protocol": "SSL", "client_key_file": "a.key"}, "without kafka.client_certificate_file"),
        ({"security_protocol": "SASL_SSL", "username": "worker"}, "needs kafka.username and kafka.password"),
        ({"security_protocol": "SASL_SSL", "password": SECRET}, "needs kafka.username and kafka.password"),
        ({"security_protocol": "SSL", "ca_file": "absent.pem"}, "setting kafka.ca_file: absent.pem: No such file"),
        ({"security_protocol": "SSL", "ca_file": __file__}, f"setting kafka.ca_file: {__file__}: "),
        ({"security_protocol": "SSL", "client_certificate_file": __file__}, "expected a certificate and its key"),
        (
            {"security_protocol": "SASL_SSL", "username": "w", "password": SECRET, "password_file": "file"},
            "settings kafka.password, kafka.password_file: both are given",
        ),
        (
            {"security_protocol": "SASL_SSL", "username": "w", "password_file": "absent"},
            "setting kafka.password_file: absent: cannot be read",
        ),
        (
            {"security_protocol": "SASL_SSL", "username": "w", "password_file": os.devnull},
            "setting kafka.password_file: /dev/null: empty",
        ),
    ],
)
def test_security_that_does_not_fit_is_refused_before_anything_is_called(
    monkeypatch: pytest.MonkeyPatch, kafka: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        create_connection(connection_settings(monkeypatch, **kafka))
    assert told in str(refused.value)
    assert SECRET not in str(refused.value)


def test_production_refuses_redis_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = connection_settings(
        monkeypatch, deployment__production=True, redis__url="redis://redis.example.com:6379/0"
    )
    with pytest.raises(ConfigurationError, match=r"setting redis\.url: expected rediss"):
        create_redis_connection(settings)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_connects_by_the_protocol_that_is_set(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    user = {"username": "worker", "password": SECRET} if protocol.startswith("SASL") else {}
    connection = create_connection(connection_settings(monkeypatch, security_protocol=protocol, **user))
    app = faust.App("protocol", **connection.faust_options())
    options = credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context)
    assert options["security_protocol"] == protocol == connection.client_options()["security_protocol"]
    assert (options.get("ssl_context") is not None) == ("SSL" in protocol)


@pytest.mark.parametrize(
    "text",
    [
        f'[kafka]\nusername = "worker"\nsecurity_protocol = "SASL_SSL"\npassword = "{SECRET}"',
        f'[kafka]\npassword = ["{SECRET}"]',
        f'[kafka.password]\nvalue = "{SECRET}"',
        f'kafka = ["{SECRET}"]',
        f'[kafka]\npassword = "{SECRET}\n',
        f'[redis]\npassword = "{SECRET}"',
        f'[redis]\npassword = ["{SECRET}"]',
        f'[[api.tokens]]\nname = "t"\nsha256 = "{SECRET}"\nscopes = ["read:segments"]',
        f'[redis]\nurl = "redis://user:{SECRET}@redis.example.com:6379/0"',
    ],
)
def test_secret_is_in_no_message_and_in_no_representation(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text, "utf-8")
    with caplog.at_level(logging.DEBUG):
        try:
            settings = load_settings(path)
            connection = create_connection(settings)
            said = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {connection!r}"
            said += f"{connection.faust_options()!r} {connection.security} {create_redis_connection(settings)!r}"
        except ConfigurationError as error:
            said = f"{error!r} {error}"
    assert SECRET not in said
    assert SECRET not in caplog.text
