"""Metrics for Prometheus: `declared` lists and explains all of them, `collector` exports those of one process."""

from stream_app.adapters.metrics.collector import CONTENT_TYPE, Metrics, Reading, package_version
from stream_app.adapters.metrics.declaration import API, COMPONENTS, SERIES_MAX, VIEW, WEBHOOKS, WORKER
from stream_app.adapters.metrics.distribution import Distribution

__all__ = [
    "API",
    "COMPONENTS",
    "CONTENT_TYPE",
    "SERIES_MAX",
    "VIEW",
    "WEBHOOKS",
    "WORKER",
    "Distribution",
    "Metrics",
    "Reading",
    "package_version",
]
