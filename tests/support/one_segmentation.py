"""Settings of tests that are about something else than segmentations: one learned segmentation, and not all shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from stream_app.settings.sections import Settings

FILE: Final = Path(__file__).with_name("value.yaml")
VARIABLE: Final = "SEGMENTER_SEGMENTATIONS_FILE"


def value_settings(**changes: Any) -> Settings:
    """Return settings with the segmentation `value` alone."""
    return Settings(**{"segmentations_file": FILE} | changes)
