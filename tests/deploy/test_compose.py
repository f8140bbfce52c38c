"""docker-compose.yml: what it promises, and its services as plain processes."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_app.cli import COMMANDS
from tests.support.compose import FILE, ROOT, Stack, load
from tests.support.processes import wait_for
from tests.support.programs import find_program

PATIENCE_SECONDS = 300
OURS = "stream-segmenter/"
"""Begins the name of each of our images."""
VARIABLES = {"DEMO_CUSTOMERS": "60", "DEMO_DAYS": "200", "DEMO_LIVE": "20", "DEMO_RATE": "20"}
CHANGES = {"webhooks": {"SEGMENTER_WEBHOOKS__ALLOWED_NETWORKS": "127.0.0.0/8"}}
"""The receiver is on this host and not in a network of containers."""
SERVICES = load()


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only") is (None if name == "kafka" else True)
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert ":" in service["image"], "a tag"
    assert not service["image"].endswith(":latest")


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_checked_and_waits_for_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    one_shots = {"topics", "producer"}
    assert ("test" in service["healthcheck"]) is (name not in one_shots)
    assert service["restart"] == ("no" if name in one_shots else "on-failure")
    for other, wanted in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in one_shots else "service_healthy"
        assert wanted == {"condition": expected}, other
    if name in {"worker-1", "worker-2", "view", "webhooks", "producer"}:
        assert set(service["depends_on"]), name


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service["image"].startswith(OURS)])
def test_service_runs_the_image_of_a_role_that_has_its_command(name: str) -> None:
    service = SERVICES[name]
    role = service["build"]["target"]
    assert service["image"] == f"{OURS}{role}:local"
    script = "\n".join(service["command"])
    called = set(re.findall(r"segmenter (\w+)", script)) or ({service["command"][0]} if service["command"] else set())
    for command in called:
        extras = COMMANDS[command].extras
        assert not extras or role in extras, command


def test_mounted_files_are_there_and_volumes_are_declared() -> None:
    declared = yaml.safe_load(FILE.read_text("utf-8"))["volumes"]
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in declared, volume


def test_grafana_is_given_its_dashboard() -> None:
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/segmenter.yaml").read_text("utf-8"))
    folder = provider["providers"][0]["options"]["path"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{folder}/")
    assert json.loads((ROOT / mounted[home]).read_text("utf-8"))["panels"]


def get(url: str, token: str | None = None) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_services_work_together_as_plain_processes(tmp_path: Path) -> None:
    for program in ("redis-server", "redis-cli", "prometheus"):
        find_program(program)
    with Stack(tmp_path, VARIABLES, CHANGES) as stack:
        stack.start("producer")
        stack.start("api")
        assert stack.wait("producer") == 0, stack.log("producer")
        assert "sent" in stack.log("producer")
        wait_for(lambda: stack.log("receiver").splitlines(), PATIENCE_SECONDS, "a webhook")
        stack.wait_until_healthy("api")
        api = f"http://127.0.0.1:{stack.port('api', 8000)}"

        def members() -> int:
            listed = get(f"{api}/v1/segmentations/value/segments", "demo")
            return int(listed["all_segments"]["customers"]) if listed["all_segments"] else 0

        wait_for(lambda: members() > 0, PATIENCE_SECONDS, "customers in the view")
        stack.start("prometheus")
        stack.wait_until_healthy("prometheus")
        prometheus = f"http://127.0.0.1:{stack.port('prometheus', 9090)}"
        wait_for(lambda: are_up(prometheus), PATIENCE_SECONDS, "all targets to be scraped")
        for name in ("worker-1", "worker-2", "view", "api", "webhooks"):
            stack.wait_until_healthy(name)
            assert stack.stop(name) == 0, stack.log(name)


def are_up(prometheus: str) -> bool:
    targets = get(f"{prometheus}/api/v1/targets")["data"]["activeTargets"]
    return len(targets) == 5 and all(target["health"] == "up" for target in targets)
