"""The time zone of a file, written into the conditions that name none, so that a definition says all by itself."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from stream_app.segmentations.rules.leaves import Anniversary
from stream_app.segmentations.rules.windows import Calendar

Model = TypeVar("Model", bound=BaseModel)


def in_zone(model: Model, timezone: str) -> Model:
    """Return a definition whose conditions on dates all name their time zone."""
    changed: dict[str, Any] = {}
    if isinstance(model, Calendar | Anniversary) and model.timezone is None:
        changed["timezone"] = timezone
    for name in type(model).model_fields:
        value = getattr(model, name)
        placed = _in_zone(value, timezone)
        if placed is not value:
            changed[name] = placed
    return model.model_copy(update=changed) if changed else model


def _in_zone(value: Any, timezone: str) -> Any:
    if isinstance(value, BaseModel):
        return in_zone(value, timezone)
    if isinstance(value, tuple) and any(isinstance(part, BaseModel) for part in value):
        placed = tuple(_in_zone(part, timezone) for part in value)
        return value if all(new is old for new, old in zip(placed, value, strict=True)) else placed
    return value
