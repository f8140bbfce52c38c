"""The manifests are valid, hold together, and say what the code does."""

from __future__ import annotations

import re
import runpy
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from stream_app.cli import COMMANDS, segmenter
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.worker.process import STOP_SECONDS
from tests.support.programs import find_program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "k8s"
VERSIONS = ("1.30", "1.34")
"""Of Kubernetes."""
FOREIGN = ("monitoring.coreos.com/", "keda.sh/", "kustomize.config.k8s.io/")
"""Kinds whose schemas are not Kubernetes' own."""

Resource = dict[str, Any]


def read(path: Path) -> list[Resource]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def build(overlay: str) -> list[Resource]:
    """Return what Kustomize makes of an overlay."""
    program = find_program("kubectl")
    verb = "build" if Path(program).name == "kustomize" else "kustomize"
    built = subprocess.run([program, verb, FOLDER / overlay], capture_output=True, check=False, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def base() -> list[Resource]:
    return [resource for path in sorted((FOLDER / "base").glob("*.yaml")) for resource in read(path)]


def validate(resources: list[Resource]) -> None:
    for resource in resources:
        if not resource["apiVersion"].startswith(FOREIGN):
            for version in VERSIONS:
                kubernetes_validate.validate(resource, version, strict=True)


def workloads(resources: list[Resource]) -> list[Resource]:
    return [resource for resource in resources if "template" in resource.get("spec", {})]


def pod(workload: Resource) -> Resource:
    return dict(workload["spec"]["template"]["spec"])


def container(workload: Resource) -> Resource:
    (only,) = pod(workload)["containers"]
    return dict(only)


def named(resources: list[Resource], kind: str) -> dict[str, Resource]:
    return {resource["metadata"]["name"]: resource for resource in resources if resource["kind"] == kind}


WORKLOADS = {workload["metadata"]["name"]: workload for workload in workloads(base())}
SERVERS = sorted(WORKLOADS.keys() - {"segmenter-topics"})


def test_base_is_valid() -> None:
    validate(base())


def test_production_is_valid_and_every_patch_has_found_its_target() -> None:
    built = build("production")
    validate(built)
    assert {workload["metadata"]["name"] for workload in workloads(built)} == WORKLOADS.keys()
    assert {"ServiceMonitor", "PrometheusRule"} <= {resource["kind"] for resource in built}
    for workload in workloads(built):
        mounts = {mount["name"] for mount in container(workload)["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod(workload)["volumes"]}
        assert container(workload)["readinessProbe" if workload["kind"] != "Job" else "args"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_restricted(name: str) -> None:
    spec, only = pod(WORKLOADS[name]), container(WORKLOADS[name])
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False, "SEGMENTER_…_SERVICE_HOST would be refused as a setting"
    context = spec["securityContext"]
    assert context["runAsNonRoot"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in (ROOT / "deploy/Dockerfile").read_text("utf-8")
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"].keys() == {"requests", "limits"}
    assert not any("persistentVolumeClaim" in volume or "hostPath" in volume for volume in spec["volumes"])


@pytest.mark.parametrize("name", WORKLOADS)
def test_arguments_are_a_command(name: str) -> None:
    command, *rest = container(WORKLOADS[name])["args"]
    called = segmenter.get_command(click.Context(segmenter), command)
    assert called is not None
    assert not rest or (isinstance(called, click.Group) and rest[0] in called.commands)


@pytest.mark.parametrize("name", WORKLOADS)
def test_image_is_that_of_a_role_that_has_the_command(name: str) -> None:
    only = container(WORKLOADS[name])
    role = only["image"].removeprefix("stream-segmenter/").partition(":")[0]
    assert role in COMMANDS[only["args"][0]].extras


def test_every_image_gets_its_name_in_production() -> None:
    images = {container(workload)["image"] for workload in WORKLOADS.values()}
    renamed = yaml.safe_load((FOLDER / "production" / "kustomization.yaml").read_text("utf-8"))["images"]
    assert {f"{image['name']}:{image['newTag']}" for image in renamed} == images


@pytest.mark.parametrize("name", SERVERS)
def test_probes_ask_the_port_that_the_command_serves(name: str) -> None:
    only = container(WORKLOADS[name])
    ports = {port["name"]: port["containerPort"] for port in only["ports"]}
    assert ports["health"] == getattr(Settings(), name.removeprefix("segmenter-")).health_port
    probes = {kind: only[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert probes == {
        "startup": {"path": "/live", "port": "health"},
        "readiness": {"path": "/ready", "port": "health"},
        "liveness": {"path": "/live", "port": "health"},
    }


def test_worker_has_a_stable_name_and_the_time_it_needs() -> None:
    worker = WORKLOADS["segmenter-worker"]
    assert worker["kind"] == "StatefulSet"
    assert worker["spec"]["podManagementPolicy"] == "Parallel"
    assert pod(worker)["terminationGracePeriodSeconds"] > 2 * STOP_SECONDS
    (instance,) = (each for each in container(worker)["env"] if each["name"] == "SEGMENTER_KAFKA__INSTANCE_ID")
    assert instance["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    startup = container(worker)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > Settings().worker.recovery_timeout_seconds
    service = named(base(), "Service")[worker["spec"]["serviceName"]]
    assert service["spec"]["clusterIP"] == "None"


def test_selectors_select_and_ports_exist() -> None:
    resources = base()
    labels = {name: workload["spec"]["template"]["metadata"]["labels"] for name, workload in WORKLOADS.items()}
    for service in named(resources, "Service").values():
        (target,) = (name for name, own in labels.items() if service["spec"]["selector"].items() <= own.items())
        ports = {port["name"] for port in container(WORKLOADS[target])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in named(resources, "PodDisruptionBudget").values():
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert any(wanted <= own.items() for own in labels.values())


def test_every_part_may_go_where_it_must_and_nowhere_else() -> None:
    policies = named(base(), "NetworkPolicy")
    assert policies["segmenter-deny-all"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def allowed(policy: str) -> set[str]:
        selector = policies[policy]["spec"]["podSelector"]
        return {
            *(name for each in selector.get("matchExpressions", ()) for name in each["values"]),
            *selector.get("matchLabels", {}).values(),
        }

    assert allowed("segmenter-kafka") == WORKLOADS.keys() - {"segmenter-api"}
    assert allowed("segmenter-redis") == {"segmenter-view", "segmenter-api"}
    assert allowed("segmenter-webhooks") == {"segmenter-webhooks"}
    assert allowed("segmenter-api") == {"segmenter-api"}


def environment(resources: list[Resource], workload: Resource) -> Mapping[str, str]:
    """Return what a container is given, with a secret for each reference to one."""
    maps = named(resources, "ConfigMap")
    only = container(workload)
    values: dict[str, str] = {}
    for source in only.get("envFrom", ()):
        values |= maps[source["configMapRef"]["name"]]["data"]
    for variable in only.get("env", ()):
        values[variable["name"]] = "[]" if variable["name"].endswith("TOKENS") else "given"
    return values


@pytest.mark.parametrize("overlay", ["base", "production"])
def test_settings_are_accepted(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = build(overlay)
    for workload in workloads(resources):
        with monkeypatch.context() as patch:
            for name, value in environment(resources, workload).items():
                patch.setenv(name, value)
            settings = load_settings(None)
        assert settings.deployment.production is (overlay == "production")
        if overlay == "production":
            mounted = {mount["mountPath"] for mount in container(workload)["volumeMounts"]}
            files = set(_files_needed(settings, workload["metadata"]["name"]))
            assert {str(path.parent) for path in files} <= mounted


def _files_needed(settings: Settings, name: str) -> Iterator[Path]:
    sections = [settings.redis] if name in ("segmenter-view", "segmenter-api") else []
    sections += [settings.kafka] if name != "segmenter-api" else []
    for section in sections:
        yield from (value for _, value in section if isinstance(value, Path))


def test_secrets_that_are_needed_are_documented() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    text = "".join(path.read_text("utf-8") for path in sorted(FOLDER.rglob("*.yaml")))
    needed = set(re.findall(r"secretKeyRef: {name: ([\w-]+)|secretName: ([\w-]+)|, name: ([\w-]+), key:", text))
    names = {name for found in needed for name in found if name}
    assert len(names) == 11
    assert not [name for name in names if f"`{name}`" not in page]


def test_rules_are_those_that_promtool_tests() -> None:
    generate = runpy.run_path(str(FOLDER / "components" / "monitoring" / "generate.py"))
    path = FOLDER / "components" / "monitoring" / "prometheusrule.yaml"
    assert path.read_text("utf-8") == generate["prometheus_rule"](), "run generate.py beside it"


def test_autoscaling_stays_within_the_partitions_and_is_off() -> None:
    scaled, _ = read(FOLDER / "components" / "autoscaling" / "scaledobject.yaml")
    settings = Settings().kafka
    assert scaled["spec"]["scaleTargetRef"]["name"] == "segmenter-worker"
    assert scaled["spec"]["maxReplicaCount"] == settings.partitions
    assert {trigger["metadata"]["topic"] for trigger in scaled["spec"]["triggers"]} == {
        "purchases",
        "engagements",
        "profiles",
        "consents",
    }
    assert {trigger["metadata"]["consumerGroup"] for trigger in scaled["spec"]["triggers"]} == {settings.app_id}
    assert not any(resource["kind"] == "ScaledObject" for resource in build("production"))
