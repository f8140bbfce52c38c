"""What the deployment decides about privacy requests."""

from __future__ import annotations

from stream_app.adapters.topic_specs import gone_after_ms
from stream_app.bootstrap.kafka import create_topic_names, create_topic_specs
from stream_app.core.clock import DAY_MS
from stream_app.settings.sections import Settings
from stream_app.worker.privacy import PrivacyRules


def create_privacy_rules(settings: Settings) -> PrivacyRules:
    """Return how long what is kept where, and when requests are due."""
    names, privacy = create_topic_names(settings), settings.privacy
    gone_ms = {spec.name: gone_after_ms(spec) for spec in create_topic_specs(settings)}
    compacted = (names.changelog, names.memberships)
    retained = (
        names.migrations,
        names.upcoming,
        names.samples,
        names.dead_letters,
        names.webhook_dead_letters,
        names.privacy_requests,
    )
    return PrivacyRules(
        deadline_ms=privacy.deadline_days * DAY_MS,
        deadlines_ms={name: days * DAY_MS for name, days in privacy.deadlines_days.items()},
        mark_ms=(privacy.mark_days or settings.kafka.retention_days) * DAY_MS,
        compacted_ms=max(gone_ms[topic] for topic in compacted),
        retained_ms={topic: gone_ms[topic] for topic in retained},
        compacted=compacted,
    )
