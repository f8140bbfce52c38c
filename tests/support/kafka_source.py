"""Where a broker comes from: Kafka's jars by Maven, or a container."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.support.processes import LOG_TAIL_LINES, ServerProcess, ServerUnavailable

KAFKA_VERSION: Final = "3.9.1"
"""As in `kafka.pom.xml`."""
POM: Final = Path(__file__).with_name("kafka.pom.xml")
COPY_DEPENDENCIES: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
DOWNLOAD_SECONDS: Final = 600
MISSING: Final = (
    "no java and mvn: install Debian's packages default-jre-headless and maven, "
    "or start a Docker engine, or, for most tests, name a broker in SEGMENTER_TEST_KAFKA=host:port"
)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock that any number of processes can ask for; it falls when its holder ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def has_java() -> bool:
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def has_docker() -> bool:
    """Tell whether there is an engine that answers, not only the command."""
    if shutil.which("docker") is None:
        return False
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=15).returncode == 0
    return False


def kafka_jars() -> Path:
    """Return the folder of Kafka's jars, which is filled once for a user and shared by all clones.

    Raises
    ------
    ServerUnavailable
        If Maven cannot get them.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stream-segmenter"
    jars = cache / f"kafka-{KAFKA_VERSION}"
    with file_lock(cache / f"kafka-{KAFKA_VERSION}.lock"):
        if not jars.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _download_jars(Path(folder) / "jars")
                (Path(folder) / "jars").rename(jars)  # whole or not at all
    return jars


def _download_jars(folder: Path) -> None:
    pom = shutil.copy(POM, folder.parent / "pom.xml")
    maven = ["mvn", "--quiet", "--batch-mode", "--file", pom, COPY_DEPENDENCIES, f"-DoutputDirectory={folder}"]
    try:
        run = subprocess.run(maven, capture_output=True, check=False, text=True, timeout=DOWNLOAD_SECONDS)
        said = run.stdout + run.stderr
    except subprocess.TimeoutExpired:
        said = f"Maven did not end within {DOWNLOAD_SECONDS} s"
    if not list(folder.glob("kafka_2.13-*.jar")):
        reason = next((line for line in said.splitlines() if "ERROR" in line or "did not" in line), said[-200:])
        raise ServerUnavailable(f"Maven could not download Kafka's jars: {reason.strip()}")


class Container:
    """The broker as a container, with the same verbs as `ServerProcess`. Its data live as long as it does.

    Parameters
    ----------
    properties
        Of the broker, without its listeners.
    port
        Of 127.0.0.1, which clients call.
    heap_mebibytes
        Of the Java machine.
    """

    def __init__(self, properties: Mapping[str, str], port: int, heap_mebibytes: int) -> None:
        self.name = f"segmenter-test-{uuid.uuid4().hex[:12]}"
        inside = dict(properties) | {
            "controller.quorum.voters": "1@127.0.0.1:9093",
            "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:9093",
            "log.dirs": "/tmp/kafka-data",
        }
        self._options = [f"--env=KAFKA_{name.upper().replace('.', '_')}={value}" for name, value in inside.items()]
        self._options += [f"--env=KAFKA_HEAP_OPTS=-Xmx{heap_mebibytes}m", f"--publish=127.0.0.1:{port}:{port}"]
        self._created = False

    def start(self) -> None:
        if not self._created:
            self._docker("create", "--name", self.name, *self._options, IMAGE)
            self._created = True
        self._docker("start", self.name)

    @property
    def is_running(self) -> bool:
        return self._created and self._docker("inspect", "--format={{.State.Running}}", self.name).strip() == "true"

    def signal(self, signum: signal.Signals) -> None:
        if signum == signal.SIGSTOP:
            self._docker("pause", self.name)
        elif signum == signal.SIGCONT:
            self._docker("unpause", self.name)
        else:
            self._docker("kill", f"--signal={signum.value}", self.name)

    def stop(self, patience_seconds: float = 30) -> int:
        self._docker("stop", f"--time={patience_seconds:.0f}", self.name)
        return 0

    def kill(self) -> int:
        if self.is_running:
            self.signal(signal.SIGKILL)
            self._docker("wait", self.name)
        return -signal.SIGKILL

    def discard(self) -> None:
        if self._created:
            self._docker("rm", "--force", "--volumes", self.name)
            self._created = False

    def log_tail(self) -> str:
        return self._docker("logs", f"--tail={LOG_TAIL_LINES}", self.name)

    @staticmethod
    def _docker(*args: str) -> str:
        run = subprocess.run(["docker", *args], capture_output=True, check=False, text=True, timeout=DOWNLOAD_SECONDS)
        if run.returncode:
            raise ServerUnavailable(f"docker {args[0]}: {run.stderr.strip()}")
        return run.stdout + run.stderr if args[0] == "logs" else run.stdout


BrokerServer = ServerProcess | Container
