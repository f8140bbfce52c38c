"""How a process of ours logs."""

from __future__ import annotations

from stream_app.adapters.logs import LogPolicy
from stream_app.settings.sections import Settings


def create_log_policy(settings: Settings) -> LogPolicy:
    """Return what the settings say of the log."""
    return LogPolicy(settings.log.format, settings.log.level)
