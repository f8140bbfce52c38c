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
from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.api.access import hash_token
from stream_app.cli import main, segmenter
from tests.api.serving import write_folder
from tests.support.output_records import MODELS, PARTITIONS, OutputTopics, drawn_migrations, newest_memberships
from tests.support.processes import free_port, wait_for
from tests.support.replays import refused
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch
from tests.webhooks.deliveries import subscription

PATIENCE_SECONDS = 60
"""Only ever waited for in full by a test that fails."""

SERVE_DEMO = """
import pathlib, sys
from stream_app.commands.api import serve_demo
serve_demo(pathlib.Path(sys.argv[1]), 0)
"""


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


@pytest.mark.parametrize("name", ["api", "view", "webhooks", "worker"])
def test_taken_health_port_is_refused_before_anything_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subscriptions = tmp_path / "webhooks.yaml"
    subscriptions.write_text(json.dumps({"subscriptions": [subscription("crm", "https://crm.example/")]}), "utf-8")
    monkeypatch.setenv("SEGMENTER_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("SEGMENTER_WORKER__RECOVERY_TIMEOUT_SECONDS", "10")
    monkeypatch.setenv("SEGMENTER_WEBHOOKS__SUBSCRIPTIONS_FILE", str(subscriptions))
    monkeypatch.setenv("SEGMENTER_API__ALLOW_ANONYMOUS", "true")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(f"SEGMENTER_{name.upper()}__HEALTH_PORT", str(port))
        line = refused(capsys, name)
    assert f"setting {name}.health_port: nothing can listen on 127.0.0.1:{port} (A" in line


def test_demo_tells_its_address_once_when_it_answers(tmp_path: Path) -> None:
    write_folder(tmp_path, [])
    with subprocess.Popen(
        [sys.executable, "-c", SERVE_DEMO, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        address = next(found for line in demo.stdout if (found := re.search(r"http://\S+", line)))[0]
        status, _ = fetch(address)
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    assert (status, demo.returncode) == (200, 0)
    assert address.endswith("/v1/segmentations/value/segments")
    assert "http://" not in rest
