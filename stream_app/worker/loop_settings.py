"""How partition loops run."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_app.core.trust import GAP_MS
from stream_app.worker.privacy import PrivacyRules


@dataclass(frozen=True)
class LoopSettings:
    """How partition loops run.

    Parameters
    ----------
    sweep_interval_ms
        Time between two sweeps while the time is that of the events; a divisor of `tick_ms`.
    live_interval_ms
        The same once it is that of the wall clock.
    tick_ms
        Time between two population samples.
    sample_size
        Customers in a sample.
    seed
        Fixes every random choice.
    keep_payload
        Whether dead letters carry the refused record itself.
    follows_wall_clock
        False if time is always what events say, as in backtests.
    idle_ms
        A drained partition that had no events for this time has caught up.
    chunk_records_max
        No more records are folded at once: other partitions wait for it.
    transaction_records_max
        Folding waits when this many records are folded and not yet on their way.
    model_moves_per_second
        Pace of migrations that a new version causes in a live partition.
    tick_wait_ms, live_tick_wait_ms
        How long a partition that catches up, or a live one, waits for the decision on a tick; 0 for not at all.
    figures_interval_ms
        Least time between two records of a partition's figures.
    gap_ms
        How far a single record may lead time, see `stream_app.core.trust`.
    privacy
        What is decided about privacy requests.
    """

    sweep_interval_ms: int
    live_interval_ms: int
    tick_ms: int
    sample_size: int
    seed: int
    keep_payload: bool
    follows_wall_clock: bool
    idle_ms: int
    chunk_records_max: int
    transaction_records_max: int
    model_moves_per_second: int
    tick_wait_ms: int
    live_tick_wait_ms: int
    figures_interval_ms: int
    gap_ms: int = GAP_MS
    privacy: PrivacyRules = field(default_factory=PrivacyRules)
