"""A Kafka broker that lets nobody in without TLS, a password or a certificate, and permits nothing by itself."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.kafka import KafkaBroker
from tests.support.processes import free_port
from tests.support.programs import find_program

PATIENCE_SECONDS: Final = 300
ITERATIONS: Final = 4096
PROPERTIES: Final = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # who comes by the plain listener, which is the test's own
    "allow.everyone.if.no.acl.found": "false",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
    "listener.name.ssl.ssl.client.auth": "required",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
}
CELL: Final = re.compile(r"`([^`]+)`")
RESOURCES: Final = {
    "Topic": ResourceType.TOPIC,
    "Group": ResourceType.GROUP,
    "TransactionalId": ResourceType.TRANSACTIONAL_ID,
    "Cluster": ResourceType.BROKER,  # as confluent-kafka has it
}


class SecureKafka:
    """The broker, its authority, and the users whom it knows; as a context manager it is started and ended.

    Parameters
    ----------
    folder
        For its data and certificates.
    users
        Names; each gets a password and a certificate.
    """

    def __init__(self, folder: Path, users: tuple[str, ...]) -> None:
        for program in ("java", "mvn"):  # a container will not do
            find_program(program)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.passwords = {user: f"planted-{secrets.token_urlsafe(12)}" for user in users}
        self.key_password = f"planted-{secrets.token_urlsafe(12)}"
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self.stranger_ca_file = folder / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(self.stranger_ca_file)
        self._write_identity(authority.issue_cert("127.0.0.1"), "broker", None)
        for user in users:
            self._write_identity(authority.issue_cert(f"{user}.example", common_name=user), user, self.key_password)
        plain, sasl_ssl, ssl, controller = (free_port() for _ in range(4))
        self.sasl_ssl, self.ssl = f"127.0.0.1:{sasl_ssl}", f"127.0.0.1:{ssl}"
        open_listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL_SSL://{self.sasl_ssl},SSL://{self.ssl}"
        self._broker = KafkaBroker(
            folder / "kafka",
            properties=PROPERTIES
            | {
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listeners": f"{open_listeners},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": open_listeners,
                "ssl.keystore.location": str(folder / "broker.chain.pem"),
                "ssl.truststore.location": str(self.ca_file),
            },
        )
        self.plain = self._broker.bootstrap_servers = f"127.0.0.1:{plain}"

    def certificate_file(self, user: str) -> Path:
        return self.folder / f"{user}.pem"

    def key_file(self, user: str) -> Path:
        return self.folder / f"{user}.key"

    def password_file(self, user: str) -> Path:
        path = self.folder / f"{user}.password"
        path.write_text(f"{self.passwords[user]}\n", "utf-8")
        return path

    def write_redis_config(self, page: Path, port: int) -> Path:
        """Write a configuration of Redis with TLS and a page's users; each has the password of its namesake here."""
        users = [
            f"user {name} on >{self.passwords[name]} {rules}"
            for name, rules in re.findall(r"^ +user (\w+) on >\S+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
        ]
        tls = {"cert-file": self.certificate_file("broker"), "key-file": self.key_file("broker")}
        tls |= {"ca-cert-file": self.ca_file}
        lines = [
            "bind 127.0.0.1",
            "port 0",
            'save ""',
            f"tls-port {port}",
            "tls-auth-clients no",
            *(f"tls-{name} {value}" for name, value in tls.items()),
            "user default off",
            *users,
        ]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(lines) + "\n", "utf-8")
        return config

    def grant(self, page: Path, prefix: str) -> None:
        """Permit what the table of a page says, and nothing else."""
        admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
        for future in admin.create_acls(list(_bindings(page, prefix))).values():
            future.result(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        self._broker.__enter__()
        admin = AdminClient({"bootstrap.servers": self.plain, "log_level": 0})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        changes = [
            UserScramCredentialUpsertion(user, scram, password.encode()) for user, password in self.passwords.items()
        ]
        for future in admin.alter_user_scram_credentials(changes).values():
            future.result(PATIENCE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.discard()

    def _write_identity(self, identity: trustme.LeafCert, name: str, key_password: str | None) -> None:
        """Write the certificate and the key, both apart and in one file, the key in the one form that Kafka reads."""
        key = load_pem_private_key(identity.private_key_pem.bytes(), None)
        protection = BestAvailableEncryption(key_password.encode()) if key_password else NoEncryption()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        chain = b"".join(blob.bytes() for blob in identity.cert_chain_pems)
        self.key_file(name).write_bytes(pem)
        self.certificate_file(name).write_bytes(chain)
        (self.folder / f"{name}.chain.pem").write_bytes(pem + chain)


def _bindings(page: Path, prefix: str) -> Iterator[AclBinding]:
    """Read the table's rows: who, resource, names, operations."""
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or cells[1] not in RESOURCES:
            continue
        who, resource, names, operations = cells
        users = [user.strip() for user in who.partition(":")[0].split(",")]
        for user, name, operation in product(users, CELL.findall(names), operations.split(",")):
            full = name if resource == "Cluster" else prefix + name
            yield AclBinding(
                RESOURCES[resource],
                full.removesuffix("*"),
                ResourcePatternType.PREFIXED if full.endswith("*") else ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation.strip()).upper()],
                AclPermissionType.ALLOW,
            )
