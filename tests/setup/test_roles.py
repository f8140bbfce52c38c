"""A role's environment, made as the image's recipe makes it, runs its command and has nothing of the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.processes import free_port
from tests.support.replays import ROOT
from tests.test_extras import locked

ROLE: Final = "webhooks"
SOURCES: Final = ("pyproject.toml", "README.md", "LICENSE", "native", "stream_app")
SUBSCRIPTIONS: Final = """\
subscriptions:
  - name: one
    url: https://example.com/hook
    secret_file: secret
"""


def run(*command: object, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SEGMENTER"))}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=1_200, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command of a fresh environment that the role's lock and the wheel were installed into."""
    folder = tmp_path_factory.mktemp("role")
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    shutil.copy(ROOT / "requirements" / f"{ROLE}.txt", folder)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels")
    built = run(sys.executable, "-m", "pip", "wheel", *options, ".", folder=folder)
    assert built.returncode == 0, built.stderr
    environment = folder / "environment"
    assert run(sys.executable, "-m", "venv", environment, folder=folder).returncode == 0
    variables = {"ENVIRONMENT": str(environment), "WHEELS": str(folder / "wheels"), "PIP_NO_COMPILE": "1"}
    for step in (("locked", ROLE), ("package",)):
        done = run(ROOT / "deploy" / "install.sh", *step, folder=folder, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
    return environment / "bin" / "segmenter"


def test_environment_has_the_lock_and_nothing_else(segmenter: Path) -> None:
    script = "from importlib.metadata import distributions as d; print(*(each.name for each in d()))"
    found = run(segmenter.with_name("python"), "-c", script, folder=segmenter.parent).stdout
    names = {name.lower().replace("_", "-").replace(".", "-") for name in found.split()}
    assert names - {"setuptools"} == locked(ROLE) | {"stream-segmenter"}
    assert not names & {"river", "scipy", "faust-streaming"}


def test_command_of_the_role_starts(segmenter: Path) -> None:
    (segmenter.parent / "webhooks.yaml").write_text(SUBSCRIPTIONS, "utf-8")
    (segmenter.parent / "secret").write_text("whsec_c2VjcmV0LW9mLTI0LWJ5dGVzLWxvbmchISE=", "utf-8")
    done = run(
        segmenter, ROLE, folder=segmenter.parent,
        SEGMENTER_WEBHOOKS__SUBSCRIPTIONS_FILE="webhooks.yaml",
        SEGMENTER_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}",
        SEGMENTER_WORKER__RECOVERY_TIMEOUT_SECONDS="10",
        SEGMENTER_WEBHOOKS__HEALTH_PORT="0",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no Kafka broker answers" in done.stderr


def test_command_of_another_role_names_its_extra(segmenter: Path) -> None:
    done = run(segmenter, "worker", folder=segmenter.parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'stream-segmenter[worker]'" in done.stderr
