"""The OpenAPI document is fit for use: it passes a linter, and clients that are made of it work, in two languages."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import MOVES
from tests.api.serving import ALL, memory_store, serving
from tests.support.programs import find_program

SOURCES = Path(__file__).with_name("clients")
PATIENCE_SECONDS = 300


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program to its end; return what it printed."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
    done = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=os.environ | quiet,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(memory_store(folder)) as address:
        yield address


@pytest.fixture(scope="module")
def workshop(address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tools, and the document as it is served."""
    folder = Path(tmp_path_factory.mktemp("clients")) / "workshop"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
    run(find_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    (folder / "openapi.json").write_bytes(httpx.get(f"{address}/openapi.json").content)
    return folder


def test_document_passes_the_linter(workshop: Path) -> None:
    said = run("node_modules/.bin/redocly", "lint", "openapi.json", cwd=workshop)
    assert "Your API description is valid" in said
    assert "warning" not in said.partition("validating")[2]


def test_linter_finds_what_is_wrong(workshop: Path) -> None:
    document = json.loads((workshop / "openapi.json").read_text("utf-8"))
    answer = document["paths"]["/v1/segmentations"]["get"]["responses"]["200"]["content"]["application/json"]
    answer["example"]["segmentations"][0]["customers"] = "many"
    (workshop / "wrong.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(AssertionError, match="no-invalid-media-type-examples"):
        run("node_modules/.bin/redocly", "lint", "wrong.json", cwd=workshop)


def test_typescript_client_is_compiled_and_used(workshop: Path, address: str) -> None:
    run("node_modules/.bin/openapi-typescript", "openapi.json", "-o", "schema.d.ts", cwd=workshop)
    run("node_modules/.bin/tsc", "-p", ".", cwd=workshop)
    found = json.loads(run(find_program("node"), "built/use.js", address, ALL, cwd=workshop))
    own = [move for move in MOVES if move.customer_id == "customer-1"]
    assert {each["segmentation"] for each in found["whole"]["segments"]} == {"lifecycle", "value"}
    assert all(each["sentence"] and "holdout" not in each for each in found["short"]["segments"])
    assert found["several"]["unknown"] == ["nobody"]
    assert [move["sequence"] for move in found["moves"]] == [move.sequence for move in reversed(own)]
    assert len(found["sizes"]["days"]) == 30
    assert found["csv"].startswith("customer_id,since\r\n")
    assert (found["status"], found["code"]) == (404, "customer-unknown")


@pytest.fixture(scope="module")
def python_client(workshop: Path) -> Iterator[str]:
    """The name of the package of a client that has been made."""
    name = "made_segments_client"
    maker = Path(sys.executable).with_name("openapi-python-client")
    place = workshop / name
    said = run(
        maker, "generate", "--path", "openapi.json", "--output-path", place, "--meta", "none", "--fail-on-warning",
        "--config", "client.yaml", cwd=workshop,
    )  # fmt: skip
    assert "Warning" not in said
    sys.path.insert(0, str(workshop))
    yield name
    sys.path.remove(str(workshop))


def test_python_client_is_used(python_client: str, address: str) -> None:
    def part(path: str) -> Any:
        return importlib.import_module(f"{python_client}.{path}")

    client = part("client").AuthenticatedClient(base_url=address, token=ALL)
    models = part("models")
    with client as client:
        found = part("api.customers.get_customer_segments").sync(customer_id="customer-1", client=client)
        assert isinstance(found, models.CustomerDocument)
        value = next(each for each in found.segments if each.segmentation == "value")
        own = [move for move in MOVES if move.customer_id == "customer-1"]
        newest = [move for move in own if move.segmentation == "value"][-1]
        assert newest.to_segment is not None
        assert value.segment.id == newest.to_segment.id
        assert value.since == datetime.fromisoformat(newest.effective_at)
        unknown = part("api.customers.get_customer_segments").sync(customer_id="nobody", client=client)
        assert isinstance(unknown, models.ProblemDocument)
        assert unknown.code == "customer-unknown"
        history = part("api.customers.get_customer_migrations").sync(customer_id="customer-1", client=client, limit=3)
        assert [move.sequence for move in history.migrations] == [move.sequence for move in own[:-4:-1]]
        batch = part("api.customers.look_up_customers").sync(
            client=client, body=models.BatchRequest(customer_ids=["customer-1", "nobody"])
        )
        assert batch.unknown == ["nobody"]
        listed = part("api.segments.list_segmentations").sync(client=client)
        assert [each.segmentation for each in listed.segmentations] == ["lifecycle", "value"]
