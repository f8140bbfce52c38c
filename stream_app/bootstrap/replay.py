"""A replay of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from stream_app.bootstrap.decoding import create_decoders, create_loading_options
from stream_app.bootstrap.learning import create_trainers
from stream_app.bootstrap.segmentation import create_partition, create_segmentations, intervals_ms
from stream_app.core.clock import DAY_MS
from stream_app.core.partition import Partition
from stream_app.replay.outputs import OutputFolder
from stream_app.replay.runtime import Replay, ReplaySettings
from stream_app.segmentations.registry import fields_looked_at
from stream_app.settings.sections import Settings
from stream_app.sources.files import Reader, SourceFile
from stream_app.sources.opening import open_readers


def create_readers(settings: Settings, sources: Sequence[SourceFile], now_ms: int) -> list[Reader]:
    """Open all input files.

    Raises
    ------
    ConfigurationError
        If one cannot be read.
    """
    decoders = create_decoders(settings, fields_looked_at(create_segmentations(settings)))
    names = _tell_apart([source.path for source in sources])
    return open_readers(sources, names, decoders, now_ms, create_loading_options(settings, decoders))


def create_replay(
    settings: Settings,
    out: Path,
    until_ms: int | None = None,
    watch: Callable[[Partition, int], None] | None = None,
    add: Callable[[Path], object] = lambda _: None,
) -> Replay:
    """Return a replay that writes into a folder.

    Parameters
    ----------
    settings, out, until_ms, watch
        See `Replay` and `ReplaySettings`.
    add
        Writes further files beside the outputs, see `OutputFolder`.

    Raises
    ------
    ConfigurationError
        If the folder cannot be written, or the settings do not fit together.
    """
    partition = create_partition(settings)
    interval_ms, tick_ms = intervals_ms(settings)
    return Replay(
        partition,
        create_trainers(settings, partition.segmentations),
        OutputFolder(out, add),
        ReplaySettings(
            sweep_interval_ms=interval_ms,
            tick_ms=tick_ms,
            sample_size=settings.learning.sample_size,
            seed=settings.learning.seed,
            keep_payload=settings.records.keep_rejected_payload,
            until_ms=until_ms,
            gap_ms=settings.records.trusted_gap_days * DAY_MS,
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
