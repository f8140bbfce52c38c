"""The cluster and its topics, for every process that needs them."""

from __future__ import annotations

from stream_app.adapters.kafka_client import KafkaConnection
from stream_app.adapters.kafka_security import KafkaSecurity, create_ssl_context
from stream_app.adapters.topic_specs import TopicPolicy, TopicSpec, topic_specs
from stream_app.adapters.topics import TopicNames
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.errors import ConfigurationError
from stream_app.settings.loading import read_secret
from stream_app.settings.sections import Settings


def create_topic_names(settings: Settings) -> TopicNames:
    """Return the names of the deployment's topics."""
    return TopicNames(settings.kafka.topic_prefix, settings.kafka.app_id, settings.identities.enabled)


def create_connection(settings: Settings) -> KafkaConnection:
    """Return how clients reach the brokers.

    Raises
    ------
    ConfigurationError
        If the security that is set does not fit together, or is not enough for production.
    """
    return KafkaConnection(settings.kafka.bootstrap_servers, security=create_kafka_security(settings))


def create_kafka_security(settings: Settings) -> KafkaSecurity:
    """Return how connections to the brokers are protected.

    Raises
    ------
    ConfigurationError
        See `create_connection`.
    """
    kafka = settings.kafka
    has_tls = kafka.security_protocol in ("SSL", "SASL_SSL")
    has_sasl = kafka.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")
    if settings.deployment.production and not has_tls:
        raise ConfigurationError(
            f"setting kafka.security_protocol: {kafka.security_protocol!r}, expected 'SASL_SSL' or 'SSL' "
            "(setting deployment.production asks for TLS)"
        )
    if settings.deployment.production and not kafka.verify_hostname:
        raise ConfigurationError("setting kafka.verify_hostname: False, expected True (setting deployment.production)")
    needs = {
        "ca_file": has_tls,
        "client_certificate_file": has_tls,
        "client_key_file": kafka.client_certificate_file is not None,
        "username": has_sasl,
        "password": has_sasl,
        "password_file": has_sasl,
    }
    for name, is_used in needs.items():
        if getattr(kafka, name) is not None and not is_used:
            raise ConfigurationError(
                f"setting kafka.{name}: has no use with kafka.security_protocol {kafka.security_protocol!r}"
                + (" without kafka.client_certificate_file" if name == "client_key_file" and has_tls else "")
            )
    context = None
    if has_tls:
        key_password = read_secret(kafka, "client_key_password", "kafka.client_key_password")
        context = create_ssl_context(
            kafka.ca_file, kafka.client_certificate_file, kafka.client_key_file, key_password, kafka.verify_hostname
        )
    return KafkaSecurity(
        protocol=kafka.security_protocol,
        mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=read_secret(kafka, "password", "kafka.password"),
        ssl_context=context,
    )


def create_topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """Return what the deployment's topics must be like."""
    return topic_specs(
        create_topic_names(settings),
        TopicPolicy(
            partitions=settings.kafka.partitions,
            replication_factor=settings.kafka.replication_factor,
            retention_ms=settings.kafka.retention_days * DAY_MS,
            dead_letter_retention_ms=settings.kafka.dead_letter_retention_days * DAY_MS,
            future_tolerance_ms=settings.records.future_tolerance_seconds * SECOND_MS,
            recovery_timeout_ms=settings.worker.recovery_timeout_seconds * SECOND_MS,
        ),
    )
