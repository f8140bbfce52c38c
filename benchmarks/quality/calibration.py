"""Whether the probability of being active is what it says.

An act within the customer's own usual gap from now on has the probability P · (1 − S(R + g) / S(R)), with P the
probability of being active after R days of silence, g the usual gap and S the chance of a longer silence of a customer
who is active. As P = (1 − p) S / ((1 − p) S + p), the odds of being active are S (1 − p) / p, so S(R + g) / S(R) is the
ratio of the odds after R + g and after R: P alone, asked at two instants, says what it expects.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from benchmarks.quality.history import History
from benchmarks.quality.migrations import next_act_ms
from stream_app.core.arrays import Flags, Floats, Indices
from stream_app.core.clock import DAY_MS

BINS: Final = 10


class Forecast(NamedTuple):
    """What was expected of customers at an instant: an act within so many days, with so much probability."""

    at_ms: int
    customer_ids: list[str]
    gap_days: Floats
    probability: Floats


def act_probability(active_now: Floats, active_after_gap: Floats) -> Floats:
    """Return the probability of an act within a gap, from those of being active now and after silence to its end."""
    now = np.clip(active_now, 1e-12, 1 - 1e-12)
    then = np.clip(active_after_gap, 0.0, 1 - 1e-12)
    longer = (then / (1 - then)) / (now / (1 - now))
    return np.asarray(now * (1 - np.minimum(longer, 1.0)))


def calibration_error(forecasts: list[Forecast], history: History) -> float:
    """Return the expected calibration error: the mean distance of what was expected and what came, over tenths of P.

    Forecasts that reach beyond the end are left out.
    """
    numbers = {customer_id: number for number, customer_id in enumerate(history.customer_ids)}
    expected, came = [], []
    for forecast in forecasts:
        known = forecast.at_ms + forecast.gap_days * DAY_MS <= history.end_ms
        customer: Indices = np.array([numbers[customer_id] for customer_id in forecast.customer_ids], np.intp)
        next_ms = next_act_ms(history, customer, np.full(len(customer), forecast.at_ms))
        expected.append(forecast.probability[known])
        came.append((next_ms <= forecast.at_ms + forecast.gap_days * DAY_MS)[known])
    return expected_error(np.concatenate(expected), np.concatenate(came)) if expected else float("nan")


def expected_error(probability: Floats, came: Flags) -> float:
    """Return the mean over all forecasts of |mean probability − share that came| of the tenth each is in."""
    if not len(probability):
        return float("nan")
    tenth = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    gap = np.bincount(tenth, probability - came, minlength=BINS)
    return float(np.abs(gap).sum() / len(probability))
