"""The only place that wires: settings in, ready objects out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from stream_app.contracts.currencies import MINOR_DIGITS
from stream_app.contracts.decoding import Decoder
from stream_app.contracts.rules import DEFAULT_ENGAGEMENT_WEIGHTS, INPUT_TOPICS, DecodingRules
from stream_app.core.clock import DAY_MS, SECOND_MS
from stream_app.core.cold_start import cold_start_snapshot
from stream_app.core.migration import MigrationRules
from stream_app.core.partition import Partition
from stream_app.embedded.outputs import OutputFolder
from stream_app.embedded.replay import Replay, ReplaySettings
from stream_app.embedded.sources import FileReader, SourceFile
from stream_app.errors import ConfigurationError
from stream_app.learning.trainer import Trainer, TrainerSettings
from stream_app.settings import Settings

SEGMENTATION = "value"
"""The segmentation that is learned from recency, frequency, money and engagement."""


def create_decoders(settings: Settings) -> dict[str, Decoder]:
    """Return the decoder of each input topic."""
    return {
        topic: Decoder(
            DecodingRules(
                topic=topic,
                base_currency=settings.money.base_currency,
                currency_rates=settings.money.rates,
                engagement_weights={**DEFAULT_ENGAGEMENT_WEIGHTS, **settings.records.engagement_weights},
                max_payload_bytes=settings.records.max_payload_bytes,
                future_tolerance_ms=settings.records.future_tolerance_seconds * SECOND_MS,
            )
        )
        for topic in INPUT_TOPICS
    }


def create_partition(settings: Settings) -> Partition:
    """Return an empty partition under the cold-start rules."""
    assignment = settings.assignment
    return Partition(
        snapshot=cold_start_snapshot(SEGMENTATION, assignment.hysteresis, assignment.no_return_days),
        rules=MigrationRules(
            currency=settings.money.base_currency,
            minor_per_major=_minor_per_major(settings),
            holdout_percent=settings.holdout.percent,
            holdout_salt=settings.holdout.salt,
        ),
    )


def create_trainer(settings: Settings, partition: Partition) -> Trainer:
    """Return a trainer that takes over from the rules in force."""
    learning = settings.learning
    return Trainer(
        TrainerSettings(
            segmentation=SEGMENTATION,
            feature_set=learning.feature_set,
            n_clusters=learning.clusters,
            sample_size=learning.sample_size,
            hysteresis=settings.assignment.hysteresis,
            no_return_days=settings.assignment.no_return_days,
            min_history_days=learning.min_history_days,
            max_expected_churn=learning.max_expected_churn,
            held_ticks_max=learning.held_ticks_max,
            algorithm=learning.algorithm,
            minor_per_major=_minor_per_major(settings),
            seed=learning.seed,
        ),
        partition.snapshot,
    )


def create_readers(settings: Settings, sources: Sequence[SourceFile], now_ms: int) -> list[FileReader]:
    """Open all input files.

    Raises
    ------
    ConfigurationError
        If one cannot be read.
    """
    decoders = create_decoders(settings)
    names = _tell_apart([source.path for source in sources])
    readers: list[FileReader] = []
    with ExitStack() as opened:
        for number, (source, name) in enumerate(zip(sources, names, strict=True)):
            readers.append(FileReader(source, decoders[source.topic], now_ms, number, name))
            opened.callback(readers[-1].close)
        opened.pop_all()  # all went well: they stay open
    return readers


def create_replay(
    settings: Settings,
    out: Path,
    until_ms: int | None = None,
    watch: Callable[[Partition, int], None] | None = None,
) -> Replay:
    """Return a replay that writes into a folder.

    Raises
    ------
    ConfigurationError
        If the folder cannot be written, or the settings do not fit together.
    """
    partition = create_partition(settings)
    interval_ms = settings.assignment.sweep_interval_seconds * SECOND_MS
    tick_ms = settings.learning.tick_days * DAY_MS
    if tick_ms % interval_ms:
        raise ConfigurationError(
            f"setting assignment.sweep_interval_seconds: {settings.assignment.sweep_interval_seconds}, "
            f"expected a divisor of learning.tick_days ({settings.learning.tick_days} days)"
        )
    return Replay(
        partition,
        create_trainer(settings, partition),
        OutputFolder(out),
        ReplaySettings(
            sweep_interval_ms=interval_ms,
            tick_ms=tick_ms,
            sample_size=settings.learning.sample_size,
            seed=settings.learning.seed,
            keep_payload=settings.records.keep_rejected_payload,
            until_ms=until_ms,
        ),
        watch,
    )


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """Return the paths' names, with as many of their folders as it takes to tell different files apart."""
    for depth in count(1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return [os.fsencode(name).decode("utf-8", "replace") for name in names]


def _minor_per_major(settings: Settings) -> int:
    currency = settings.money.base_currency
    if currency not in MINOR_DIGITS:
        raise ConfigurationError(f"setting money.base_currency: {currency!r}, expected an ISO 4217 code such as 'EUR'")
    return int(10 ** MINOR_DIGITS[currency])
