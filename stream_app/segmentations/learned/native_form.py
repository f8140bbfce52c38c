"""A model as the compiled library needs it: `seg_learned` of `native/segmenter.h`."""

from __future__ import annotations

from typing import Final

import numpy as np

from stream_app.native.mathematics import log
from stream_app.native.segmentations import LEARNED, NativeForm
from stream_app.segmentations.learned.model import Model
from stream_app.segmentations.learned.roles import ROLES

RHYTHM_DTYPE: Final = np.dtype(
    [(name, "<f8") for name in ("log_gap", "log_gap_variance", "prior_weight", "stop_rate_per_day", "stop_after_first")]
)
STATEMENTS_DTYPE: Final = np.dtype(
    [(name, "<f8", ROLES) for name in ("orders_min", "orders_max", "engagement_min", "value_min")]
)
PATIENCE_DTYPE: Final = np.dtype(
    [
        (name, "<f8")
        for name in (
            *("risk_probability", "lapsed_probability", "one_time_probability"),
            *("risk_days_min", "lapsed_days_min", "lost_days"),
        )
    ]
)
MODEL_DTYPE: Final = np.dtype(
    [
        ("rhythm", RHYTHM_DTYPE),
        ("log_order_value", "<f8"),
        ("new_days", "<f8"),
        ("weights", "<f8", 3),
        ("centres", "<f8", (ROLES, 3)),
        ("separation", "<f8", (ROLES, ROLES)),
        ("statements", STATEMENTS_DTYPE),
        ("hysteresis", "<f8"),
        ("no_return_days", "<f8"),
        ("patience", PATIENCE_DTYPE),
        ("knows_order_value", "<i4"),
        ("admits", "<i4"),
    ]
)


def learned_form(model: Model) -> NativeForm:
    """Return what a model is made of."""
    frame = model.frame
    form = np.zeros((), MODEL_DTYPE)
    form["rhythm"] = record_of(RHYTHM_DTYPE, frame.rhythm)
    form["statements"] = record_of(STATEMENTS_DTYPE, model.statements)
    form["patience"] = record_of(PATIENCE_DTYPE, model.thresholds)
    for name in ("weights", "centres", "separation", "new_days"):
        form[name] = getattr(frame, name)
    for name in ("hysteresis", "no_return_days"):
        form[name] = getattr(model.thresholds, name)
    if frame.order_value_minor is not None:
        form["log_order_value"], form["knows_order_value"] = log(frame.order_value_minor).item(), 1
    form["admits"] = sum(1 << role for role in np.flatnonzero(frame.admits).tolist())
    return NativeForm(LEARNED, form.tobytes())


def record_of(dtype: np.dtype[np.void], source: object) -> np.ndarray:
    """Return one record whose fields are attributes of an object."""
    record = np.zeros((), dtype)
    for name in dtype.names or ():
        record[name] = getattr(source, name)
    return record
