"""How connections to Kafka are protected, in the form that aiokafka and Faust each want it.

Faust derives the protocol from the credentials it is given, and takes SASL without an SSL context for SASL_PLAINTEXT:
the password then crosses the network unencrypted, and nothing is said. So both forms are made here from one protocol,
and an SSL context that the protocol needs is never optional.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stream_app.errors import ConfigurationError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


@dataclass(frozen=True)
class KafkaSecurity:
    """Protection of every connection.

    Parameters
    ----------
    protocol
        As Kafka names it.
    mechanism, username, password
        For the protocols with SASL.
    ssl_context
        For the protocols with SSL.

    Raises
    ------
    ConfigurationError
        If user name or password are missing and the protocol needs them.
    """

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.has_sasl and not (self.username and self.password):
            raise ConfigurationError(
                f"setting kafka.security_protocol: {self.protocol!r} needs kafka.username and kafka.password "
                "(or kafka.password_file)"
            )
        assert self.has_tls == (self.ssl_context is not None), "an SSL context goes with TLS, and with TLS alone"

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted and the brokers' certificates verified."""
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def has_sasl(self) -> bool:
        """Whether clients say who they are by a password."""
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    def client_options(self) -> dict[str, Any]:
        """Return what an aiokafka client takes."""
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context}
        if self.has_sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options

    def faust_options(self) -> dict[str, Any]:
        """Return what a Faust application takes."""
        import faust  # here: of all that connect to Kafka, workers alone have it

        if self.has_sasl:
            credentials: Any = faust.SASLCredentials(
                username=self.username, password=self.password, ssl_context=self.ssl_context, mechanism=self.mechanism
            )
        elif self.has_tls:
            credentials = faust.SSLCredentials(self.ssl_context)
        else:
            return {}
        assert credentials.protocol.value == self.protocol, "Faust would connect otherwise than was set"
        return {"broker_credentials": credentials}


def create_ssl_context(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    key_password: str | None,
    verify_hostname: bool,
) -> ssl.SSLContext:
    """Return a client's context, TLS 1.2 or newer, that verifies the brokers' certificates.

    Parameters
    ----------
    ca_file
        Certificates to trust (PEM); the system's if not given.
    certificate_file, key_file
        What the client shows of itself (PEM); the key may be in the certificate's file.
    key_password
        If the key is encrypted.
    verify_hostname
        Whether a certificate must name the host that was called.

    Raises
    ------
    ConfigurationError
        If a file cannot be used; the message names setting and file.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # SSLError is one
        raise ConfigurationError(f"setting kafka.ca_file: {ca_file}: {_reason(error)}, expected PEM") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = verify_hostname
    if certificate_file is not None:
        try:  # without a password OpenSSL would ask for one on the terminal
            context.load_cert_chain(certificate_file, key_file, key_password or "")
        except OSError as error:
            raise ConfigurationError(
                f"settings kafka.client_certificate_file, kafka.client_key_file: {certificate_file}, "
                f"{key_file or certificate_file}: {_reason(error)}, expected a certificate and its key as PEM"
            ) from error
    return context


def _reason(error: OSError) -> str:
    return str(error.strerror or error)
