"""The services of docker-compose.yml as plain processes: their very commands, environments and health checks.

What a container engine would do is done here by translation: host names and ports become ports of 127.0.0.1, mounted
paths become files, and `depends_on` is waited for. Kafka is started from its jars with the settings of its service.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.kafka import KafkaBroker
from tests.support.processes import ServerProcess, free_port, wait_for

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docker-compose.yml"
SHIMS: Final = {
    "segmenter": f'exec "{sys.executable}" -m stream_app "$@"',
    "probe": f'exec "{sys.executable}" "{ROOT / "deploy/probe.py"}" "$@"',
    "python": f'exec "{sys.executable}" "$@"',
    "wget": f'for last; do :; done; exec "{sys.executable}" "{ROOT / "deploy/probe.py"}" "$last"',
}
"""What the images have on their PATH."""
ENTRYPOINTS: Final = {"redis": [], "prometheus": ["prometheus"]}
"""Of images that are not ours; their commands are installed here."""
LISTENING: Final = {
    "redis": ["--bind", "127.0.0.1", "--port", "{6379}"],
    "prometheus": ["--web.listen-address=127.0.0.1:{9090}"],
}
"""What such a command is told in addition, as its default port may be taken."""
PATIENCE_SECONDS: Final = 300
NO_HERE: Final = {
    "LISTENERS",
    "ADVERTISED_LISTENERS",
    "LISTENER_SECURITY_PROTOCOL_MAP",
    "INTER_BROKER_LISTENER_NAME",
    "CONTROLLER_QUORUM_VOTERS",
    "LOG_DIRS",
    "HEAP_OPTS",
}
"""Settings of Kafka's container that say where things are, which is elsewhere here."""
_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


def load(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the services, with variables put in as Compose does."""
    given = variables or {}
    text = _VARIABLE.sub(lambda found: given.get(found[1], found[2]), FILE.read_text("utf-8"))
    return dict(yaml.safe_load(text)["services"])


class Stack:
    """The stack; as a context manager everything it started is ended.

    Parameters
    ----------
    folder
        For logs and data.
    variables
        Of the file.
    changes
        Environment of services, in place of what the file says, where no translation can do.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], changes: Mapping[str, Mapping[str, str]]) -> None:
        self.services = load(variables)
        self._folder = folder
        self._changes = changes
        self._ports: dict[tuple[str, int], int] = {}
        self._processes: dict[str, ServerProcess] = {}
        self._exits = ExitStack()
        shims = folder / "bin"
        shims.mkdir()
        for name, line in SHIMS.items():
            (shims / name).write_text(f"#!/bin/sh\n{line}\n", "utf-8")
            (shims / name).chmod(0o755)
        self._environment = {"PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def port(self, service: str, port: int) -> int:
        """Return where a service's port is here."""
        return self._ports.setdefault((service, port), free_port())

    def log(self, service: str) -> str:
        return (self._folder / f"{service}.log").read_text("utf-8", "replace")

    def start(self, name: str) -> None:
        """Start a service as soon as those that it depends on are as far as it wants them."""
        needed = self.services[name].get("depends_on", {})
        for other in needed:
            if other == "kafka":
                if ("kafka", 9092) not in self._ports:
                    self._start_kafka()
            elif other not in self._processes:
                self.start(other)
        for other, wanted in needed.items():
            self._wait(other, wanted["condition"])
        if name in self._processes:
            return
        service = self.services[name]
        environment = {**service.get("environment", {}), **self._changes.get(name, {})}
        environment = {key: self._here(name, str(value), key) for key, value in environment.items()}
        assignments = [f"{key}={value}" for key, value in (environment | self._environment).items()]
        command = [*service.get("entrypoint", ENTRYPOINTS.get(name, ["segmenter"])), *service["command"]]
        command = [self._here(name, part) for part in command]
        for part in LISTENING.get(name, ()):
            command.append(re.sub(r"{(\d+)}", lambda found: str(self.port(name, int(found[1]))), part))
        process = ServerProcess(["env", "-C", self._folder, *assignments, *command], self._folder / f"{name}.log")
        process.start()
        self._exits.callback(process.discard)
        self._processes[name] = process

    def wait_until_healthy(self, name: str) -> None:
        self._wait(name, "service_healthy")

    def wait(self, name: str) -> int:
        """Wait until a service has ended by itself; return its exit status."""
        return self._processes[name].wait(PATIENCE_SECONDS)

    def stop(self, name: str) -> int:
        """End a service as Compose does; return its exit status."""
        return self._processes[name].stop()

    def _wait(self, name: str, condition: str) -> None:
        if name == "kafka":
            return
        process = self._processes[name]
        if condition == "service_completed_successfully":
            status = process.wait(PATIENCE_SECONDS)
            assert status == 0, f"{name} ended with {status}:\n{self.log(name)}"
            return
        assert condition == "service_healthy"
        wait_for(lambda: not process.is_running or self._is_healthy(name), PATIENCE_SECONDS, f"{name} to be healthy")
        assert process.is_running, f"{name} has ended:\n{self.log(name)}"

    def _is_healthy(self, name: str) -> bool:
        kind, *check = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        if check[0] == "redis-cli":
            check[1:1] = ["-p", str(self.port(name, 6379))]
        command = [self._here(name, part) for part in check]
        done = subprocess.run(command, env=os.environ | self._environment, capture_output=True, check=False, timeout=20)
        return done.returncode == 0

    def _start_kafka(self) -> None:
        settings = self.services["kafka"]["environment"]
        named = {name.removeprefix("KAFKA_"): value for name, value in settings.items()}
        properties = {name.lower().replace("_", "."): value for name, value in named.items() if name not in NO_HERE}
        broker = self._exits.enter_context(KafkaBroker(self._folder / "kafka", properties=properties))
        self._ports["kafka", 9092] = int(broker.bootstrap_servers.rpartition(":")[2])

    def _here(self, name: str, text: str, variable: str = "") -> str:
        """Translate addresses and paths."""
        if variable.endswith("_PORT") or (name == "receiver" and text.isdecimal()):
            return str(self.port(name, int(text)))
        hosts = "|".join(self.services)
        text = re.sub(rf"\b({hosts}):(\d+)", lambda found: f"127.0.0.1:{self.port(found[1], int(found[2]))}", text)
        text = re.sub(r"//127\.0\.0\.1:(\d+)", lambda found: self._own(name, int(found[1])), text)
        for volume in self.services[name].get("volumes", ()):
            source, target, *_ = volume.split(":")
            path = self._file(name, source) if source.startswith("./") else self._folder / f"volume-{source}"
            if not source.startswith("./"):
                path.mkdir(exist_ok=True)
            text = re.sub(rf"(?<![\w.]){re.escape(target)}(?!\w)", str(path), text)
        return text

    def _own(self, name: str, port: int) -> str:
        translated = port if port in self._ports.values() else self.port(name, port)
        return f"//127.0.0.1:{translated}"

    def _file(self, name: str, source: str) -> Path:
        """Return a copy of a mounted file in which addresses and paths are translated."""
        copy = self._folder / f"{name}-{Path(source).name}"
        if not copy.exists():
            copy.touch()  # for what is within to be translated once
            copy.write_text(self._here(name, (ROOT / source).read_text("utf-8")), "utf-8")
        return copy
