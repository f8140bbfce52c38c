from __future__ import annotations

from dataclasses import replace

import pytest

from stream_app.adapters.topic_specs import TopicPolicy, TopicSpec, deviations, topic_specs
from stream_app.adapters.topics import TopicNames
from stream_app.bootstrap.kafka import create_topic_specs
from stream_app.contracts.inputs.table import STATEMENT_CONTRACTS
from stream_app.contracts.schema_files import CHANNELS
from stream_app.core.clock import DAY_MS
from stream_app.settings.loading import load_settings

NAMES = TopicNames("shop-", "segmenter")
RULES = TopicPolicy(
    partitions=6,
    replication_factor=3,
    retention_ms=30 * DAY_MS,
    dead_letter_retention_ms=90 * DAY_MS,
    future_tolerance_ms=300_000,
    recovery_timeout_ms=300_000,
)


def specs(rules: TopicPolicy = RULES) -> dict[str, TopicSpec]:
    return {spec.name: spec for spec in topic_specs(NAMES, rules)}


def found(spec: TopicSpec, **properties: str) -> tuple[str, ...]:
    names = {name.replace("_", "."): value for name, value in properties.items()}
    return deviations(spec, spec.partitions, spec.replication_factor, {**spec.properties, **names})


def test_keyed_topics_have_equal_partition_counts_and_the_others_one() -> None:
    counts = {name: spec.partitions for name, spec in specs().items()}
    assert counts == {
        "shop-purchases": 6,
        "shop-engagements": 6,
        "shop-profiles": 6,
        "shop-privacy-requests": 6,
        "shop-privacy-receipts": 6,
        "shop-consents": 6,
        "shop-segment-migrations": 6,
        "shop-segment-memberships": 6,
        "shop-segment-figures": 6,
        "shop-segment-upcoming": 6,
        "shop-dead-letters": 6,
        "shop-webhook-dead-letters": 6,
        "shop-segmenter-customers-changelog": 6,
        "shop-segmenter-trainer-changelog": 1,
        "shop-segment-models": 1,
        "shop-population-samples": 1,
    }


def test_topics_of_identities_are_there_where_statements_are_followed() -> None:
    names = replace(NAMES, with_identities=True)
    with_identities = {spec.name: spec for spec in topic_specs(names, RULES)}
    assert with_identities.keys() - specs().keys() == {names.identities, names.handovers}
    statements = with_identities[names.identities]
    assert statements.partitions == 1
    assert with_identities[names.handovers].partitions == RULES.partitions
    kept = dict(statements.properties)
    assert deviations(statements, 1, statements.replication_factor, kept) == ()
    expiring = deviations(statements, 1, statements.replication_factor, kept | {"retention.ms": "604800000"})
    assert expiring == ("retention.ms is 604800000, expected at least -1",)


def test_clean_up_is_what_the_contracts_promise() -> None:
    policies = {name.removeprefix(NAMES.prefix): spec.properties["cleanup.policy"] for name, spec in specs().items()}
    of_identities = {*STATEMENT_CONTRACTS, "identity-handovers"}
    promised = {channel.topic: channel.cleanup for channel in CHANNELS if channel.topic not in of_identities}
    assert promised.items() <= policies.items()
    assert policies["segmenter-customers-changelog"] == policies["segmenter-trainer-changelog"] == "compact"


@pytest.mark.parametrize(("copies", "least"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_write_is_acknowledged_by_two_copies_where_a_third_may_be_down(copies: int, least: str) -> None:
    for spec in specs(replace(RULES, replication_factor=copies)).values():
        assert (spec.replication_factor, spec.properties["min.insync.replicas"]) == (copies, least)


def test_settings_reach_the_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "KAFKA__PARTITIONS": "12",
        "KAFKA__TOPIC_PREFIX": "shop-",
        "KAFKA__RETENTION_DAYS": "400",
        "KAFKA__DEAD_LETTER_RETENTION_DAYS": "7",
        "RECORDS__FUTURE_TOLERANCE_SECONDS": "0",
        "WORKER__RECOVERY_TIMEOUT_SECONDS": "1000",
    }.items():
        monkeypatch.setenv(f"SEGMENTER_{name}", value)
    made = {spec.name: spec for spec in create_topic_specs(load_settings(None))}
    purchases = made["shop-purchases"]
    assert purchases.partitions == 12
    assert purchases.properties["retention.ms"] == str(400 * DAY_MS)
    assert purchases.properties["message.timestamp.after.max.ms"] == "60000"
    assert made["shop-dead-letters"].properties["retention.ms"] == str(7 * DAY_MS)
    assert made["shop-webhook-dead-letters"].properties["retention.ms"] == str(7 * DAY_MS)
    assert made["shop-segmenter-customers-changelog"].properties["min.compaction.lag.ms"] == "2000000"


def test_topic_as_asked_for_or_better_has_no_deviation() -> None:
    for spec in specs().values():
        assert deviations(spec, spec.partitions, spec.replication_factor + 1, spec.properties) == ()
    assert found(specs()[NAMES.input_topic("purchases")], retention_ms="-1", max_message_bytes="1048588") == ()


def test_every_deviation_names_what_was_found_and_what_is_expected() -> None:
    purchases, changelog = specs()[NAMES.input_topic("purchases")], specs()[NAMES.changelog]
    assert deviations(purchases, 4, 2, purchases.properties) == (
        "partitions is 4, expected 6",
        "replication factor is 2, expected at least 3",
    )
    assert found(purchases, retention_ms="1000", message_timestamp_type="LogAppendTime") == (
        "message.timestamp.type is LogAppendTime, expected CreateTime",
        "retention.ms is 1000, expected at least 2592000000",
    )
    assert found(purchases, message_timestamp_after_max_ms=str(2**63 - 1)) == (
        "message.timestamp.after.max.ms is 9223372036854775807, expected at most 300000",
    )
    assert found(changelog, cleanup_policy="compact,delete", min_compaction_lag_ms="0") == (
        "cleanup.policy is compact,delete, expected compact",
        "min.compaction.lag.ms is 0, expected at least 600000",
    )
    assert deviations(changelog, 6, 3, {"cleanup.policy": "compact", "min.insync.replicas": "2"}) == (
        "min.compaction.lag.ms is unknown to the brokers, expected at least 600000",
    )
