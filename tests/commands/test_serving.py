"""`segmenter view` and `segmenter api` as the processes that a deployment runs."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream_app.api.access import hash_token
from stream_app.cli import main, segmenter
from tests.support.output_records import PARTITIONS, OutputTopics, drawn_migrations, model_document
from tests.support.processes import free_port, wait_for
from tests.support.servers import RedisServer
from tests.support.services import Service, fetch

PATIENCE_SECONDS = 60
"""Only ever waited for in full by a test that fails."""


def test_view_and_api_serve_what_is_on_the_topics(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    moves = list(drawn_migrations(30, 200))

    async def write() -> None:
        async with OutputTopics(kafka, topic_prefix) as topics:
            await topics.write_model(model_document())
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
        api_url, newest = f"http://127.0.0.1:{api_port}", {move.customer_id: move for move in moves}
        with (
            Service(tmp_path, "view", ["view"], settings) as view,
            Service(tmp_path, "api", ["api"], settings) as api,
        ):
            wait_for(lambda: fetch(f"http://127.0.0.1:{view_port}/ready")[0] == 200, PATIENCE_SECONDS, "the view")
            wait_for(lambda: fetch(f"{api_url}/ready")[0] == 200, PATIENCE_SECONDS, "the API")
            with Service(tmp_path, "rebuild", ["view", "rebuild"], settings) as rebuild:
                assert rebuild.wait(PATIENCE_SECONDS) == 0, rebuild.log()
            for customer_id, move in newest.items():
                status, body = fetch(f"{api_url}/v1/customers/{customer_id}/segments")
                assert status == 200
                assert json.loads(body)["segments"][0]["segment"]["id"] == move.to_segment.id
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
