"""The commands that run until they are told to stop, as the processes that a deployment runs."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.api.access import hash_token
from stream_app.bootstrap.api import create_demo_api
from stream_app.cli import main, segmenter
from stream_app.commands.serving import ALONE
from stream_app.settings.loading import load_settings
from stream_app.web.single_file import compress, single_file
from tests.api.serving import write_folder
from tests.support.output_records import MODELS, PARTITIONS, OutputTopics, drawn_migrations, newest_memberships
from tests.support.processes import free_port, wait_for
from tests.support.replays import ROOT, refused
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch
from tests.webhooks.deliveries import subscription

PATIENCE_SECONDS = 300
"""Only ever waited for in full by a test that fails."""


def test_view_and_api_serve_what_is_on_the_topics(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    moves = list(drawn_migrations(30, 200))

    async def write() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics:
            for model in MODELS:
                await topics.write_model(model)
            await topics.write(moves)

    asyncio.run(write())
    with RedisServer(tmp_path / "redis") as redis:
        view_port, api_port, api_health = free_port(), free_port(), free_port()
        settings = {
            "SEGMENTER_KAFKA__BOOTSTRAP_SERVERS": kafka,
            "SEGMENTER_KAFKA__TOPIC_PREFIX": topic_prefix,
            "SEGMENTER_KAFKA__PARTITIONS": str(PARTITIONS),
            "SEGMENTER_REDIS__URL": f"redis://127.0.0.1:{redis.port}/0",
            "SEGMENTER_VIEW__HEALTH_PORT": str(view_port),
            "SEGMENTER_API__PORT": str(api_port),
            "SEGMENTER_API__HEALTH_PORT": str(api_health),
            "SEGMENTER_API__ALLOW_ANONYMOUS": "true",
        }
        api_url, segments = f"http://127.0.0.1:{api_port}", defaultdict(dict)
        for membership in newest_memberships(moves).values():
            segments[membership["customer_id"]][membership["segmentation"]] = membership["segment"]
        with (
            Service(tmp_path, "view", ["view"], settings) as view,
            Service(tmp_path, "api", ["api"], settings) as api,
        ):
            wait_for(lambda: fetch(f"http://127.0.0.1:{view_port}/ready")[0] == 200, PATIENCE_SECONDS, "the view")
            wait_for(lambda: fetch(f"{api_url}/ready")[0] == 200, PATIENCE_SECONDS, "the API")
            with Service(tmp_path, "rebuild", ["view", "rebuild"], settings) as rebuild:
                assert rebuild.wait(PATIENCE_SECONDS) == 0, rebuild.log()
            for customer_id, expected in segments.items():
                status, body = fetch(f"{api_url}/v1/customers/{customer_id}/segments")
                assert status == 200
                found = json.loads(body)["segments"]
                assert {segment["segmentation"]: segment["segment"] for segment in found} == expected
            exported = fetch(f"http://127.0.0.1:{view_port}/metrics")[1]
            assert re.search(r"^segmenter_view_staleness_seconds 0\.0$", exported, re.MULTILINE)
            assert "segmenter_view_records_total" in exported
            exported = fetch(f"http://127.0.0.1:{api_health}/metrics")[1]
            assert 'route="/v1/customers/{customer_id:path}/segments",status="2xx"' in exported
            assert "customer-1" not in exported
            assert view.stop() == 0, view.log()
            assert api.stop() == 0, api.log()
            assert "customer-1" not in api.log() + view.log()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "api.tokens"),
        ({"ALLOW_ANONYMOUS": "true", "HOST": "0.0.0.0"}, "api.host"),
        ({"TOKENS": '[{"name": "a", "sha256": "00", "scopes": ["read:customers"]}]'}, "api.tokens.0.sha256"),
        ({"TOKENS": f'[{{"name": "a", "sha256": "{"0" * 64}", "scopes": ["all"]}}]'}, "api.tokens.0.scopes"),
    ],
)
def test_api_that_would_let_anybody_in_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, str], told: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"SEGMENTER_API__{name}", value)
    with pytest.raises(SystemExit) as ended:
        main(["api"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_token_is_printed_with_an_entry_for_the_settings_that_fits_it() -> None:
    printed = CliRunner().invoke(segmenter, ["api", "token", "--name", "shop", "--scope", "read:customers"]).output
    token = re.search(r"segmenter_\S{40,}", printed)
    assert token is not None
    (entry,) = tomllib.loads(printed[printed.index("[[") :])["api"]["tokens"]
    assert entry == {"name": "shop", "sha256": hash_token(token[0]), "scopes": ["read:customers"]}


@pytest.fixture
def least(tmp_path: Path) -> dict[str, str]:
    """Settings with which each of the services would start, and find no broker."""
    subscriptions = tmp_path / "webhooks.yaml"
    subscriptions.write_text(json.dumps({"subscriptions": [subscription("crm", "https://crm.example/")]}), "utf-8")
    return {
        "SEGMENTER_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "SEGMENTER_WORKER__RECOVERY_TIMEOUT_SECONDS": "10",
        "SEGMENTER_WEBHOOKS__SUBSCRIPTIONS_FILE": str(subscriptions),
        "SEGMENTER_API__ALLOW_ANONYMOUS": "true",
    }


def end_of(name: str, settings: Mapping[str, str], tmp_path: Path) -> tuple[int, str]:
    """Start a service that ends by itself; return its exit status and all that it wrote."""
    with Service(tmp_path, name, [name], settings) as service:
        return service.wait(PATIENCE_SECONDS), service.log()


@pytest.mark.parametrize(
    "setting", ["api.health_port", "api.port", "view.health_port", "webhooks.health_port", "worker.health_port"]
)
def test_service_whose_port_is_taken_ends_with_1_so_that_it_is_restarted(
    setting: str, least: dict[str, str], tmp_path: Path
) -> None:
    name, _, port_name = setting.partition(".")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"SEGMENTER_API__HEALTH_PORT": "0"} if setting == "api.port" else {}
        settings[f"SEGMENTER_{name}__{port_name}".upper()] = str(port)
        status, log = end_of(name, least | settings, tmp_path)
    assert (status, log.count("\n")) == (1, 1), log
    assert f"setting {setting}: cannot listen on 127.0.0.1:{port} (Address already in use)" in log


@pytest.mark.parametrize("name", ["api", "view", "webhooks", "worker"])
def test_service_with_a_wrong_setting_ends_with_2_so_that_it_is_not_restarted(
    name: str, least: dict[str, str], tmp_path: Path
) -> None:
    status, log = end_of(name, least | {f"SEGMENTER_{name.upper()}__HEALTH_HOST": "192.0.2.1"}, tmp_path)
    assert (status, log.count("\n")) == (2, 1), log
    assert f"setting {name}.health_port: cannot listen on 192.0.2.1:" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["view", "webhooks", "worker"])
def test_service_that_still_waits_for_a_broker_ends_with_0_at_a_signal(
    name: str, number: signal.Signals, least: dict[str, str], tmp_path: Path
) -> None:
    settings = least | {f"SEGMENTER_{name.upper()}__HEALTH_PORT": "0"}
    with Service(tmp_path, name, [name], settings) as service:
        wait_for(lambda: "no Kafka broker answers" in service.log(), PATIENCE_SECONDS, "the service's first line")
        service.signal(number)
        assert service.wait(PATIENCE_SECONDS) == 0, service.log()


def test_folder_is_served_and_its_address_named_once_it_answers(tmp_path: Path) -> None:
    write_folder(tmp_path, [])
    with subprocess.Popen(
        [sys.executable, "-m", "stream_app", "serve", tmp_path, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        line = next(line for line in demo.stdout if "http://" in line)
        pages, address = re.findall(r"http://\S+", line)
        status, _ = fetch(pages)
        wait_for(lambda: fetch(address)[0] == 200, PATIENCE_SECONDS, "what the replay has written")
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    assert (status, demo.returncode) == (200, 0)
    assert address.endswith("/v1/segmentations")
    assert "http://" not in rest


def test_folder_is_served_whatever_the_environment_says_of_a_deployments_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOKENS_FILE", "SIGNING_KEY_FILE"):
        monkeypatch.setenv(f"SEGMENTER_API__{name}", str(tmp_path / "of the deployment"))
    monkeypatch.setenv("SEGMENTER_API__HOST", "0.0.0.0")
    settings = load_settings(None, {"api": ALONE | {"port": 0}})
    assert (settings.api.host, settings.api.tokens_file, settings.api.signing_key_file) == ("127.0.0.1", None, None)
    create_demo_api(settings, tmp_path, print)


def test_pages_are_at_the_root_of_a_folder_with_a_report(tmp_path: Path) -> None:
    write_folder(tmp_path, [])
    (tmp_path / "report.html").write_text(single_file(compress(b'{"customers":7}'), "pages"), "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "stream_app", "serve", tmp_path, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as served:
        assert served.stdout is not None
        line = next(line for line in served.stdout if "http://" in line)
        pages, figures = re.findall(r"http://\S+", line)
        with urllib.request.urlopen(pages, timeout=PATIENCE_SECONDS) as answer:
            headers, content = answer.headers, answer.read().decode()
        document = fetch(f"{pages}console/document")
        wait_for(lambda: fetch(figures)[0] == 200, PATIENCE_SECONDS, "what the replay has written")
        served.send_signal(signal.SIGINT)
        served.stdout.read()
    assert served.returncode == 0
    assert '<div id="app">' in content
    assert document == (200, '{"customers":7}')
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]


def test_a_replay_can_be_looked_at_at_once(tmp_path: Path) -> None:
    purchases = tmp_path / "purchases.csv"
    rows = [
        "customer_id,occurred_at,total,currency,order_id",
        "a,2024-05-01T00:00:00Z,10,EUR,1",
        "b,2024-05-02T00:00:00Z,20,EUR,2",
    ]
    purchases.write_text("\n".join(rows), "utf-8")
    command = ["replay", "--purchases", purchases, "--out", tmp_path / "out", "--serve", "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "stream_app", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as served:
        assert served.stdout is not None
        said = []
        for line in served.stdout:
            said.append(line)
            if "http://" in line:
                break
        pages = re.findall(r"http://\S+", said[-1])[0]
        status, document = fetch(f"{pages}console/document")
        served.send_signal(signal.SIGINT)
        served.stdout.read()
    assert (status, served.returncode) == (200, 0), said
    assert json.loads(document)["customers"] == 2


def test_folder_without_outputs_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "serve", tmp_path)
    assert "has no models.jsonl, expected a folder that `segmenter replay --out` wrote" in line
