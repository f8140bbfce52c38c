"""A replay of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from stream_app.bootstrap.decoding import create_decoders
from stream_app.bootstrap.identities import create_weaver
from stream_app.bootstrap.learning import create_trainer_settings, create_trainers
from stream_app.bootstrap.loading import create_loading_options
from stream_app.bootstrap.segmentation import create_partition, create_segmentations, intervals_ms
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.core.clock import DAY_MS
from stream_app.core.partition import Partition
from stream_app.learning.trainer import Trainer
from stream_app.replay.outputs import OutputFolder, Outputs
from stream_app.replay.runtime import Replay, ReplaySettings, Run
from stream_app.replay.saved import partition_state, restore_partition
from stream_app.segmentations.registry import fields_looked_at
from stream_app.settings.definitions import dump_definitions, load_definitions
from stream_app.settings.sections import Settings
from stream_app.sources.files import Reader, SourceFile
from stream_app.sources.opening import open_readers

_OTHER_SECTIONS: Final = frozenset(
    {"kafka", "worker", "redis", "view", "api", "webhooks", "deployment", "segmentations", "segmentations_file"}
)
"""What of the settings a run of files does not depend on, and definitions, which are saved as they were read."""


def create_readers(settings: Settings, sources: Sequence[SourceFile], now_ms: int) -> list[Reader]:
    """Open all input files.

    Raises
    ------
    ConfigurationError
        If one cannot be read.
    """
    decoders = create_decoders(settings, fields_looked_at(create_segmentations(settings)), FILE_CONTRACTS)
    names = _tell_apart([source.path for source in sources])
    return open_readers(sources, names, decoders, now_ms, create_loading_options(settings, decoders))


def create_replay(
    settings: Settings,
    out: Path,
    until_ms: int | None = None,
    watch: Callable[[Partition, int], None] | None = None,
    add: Callable[[Path], object] = lambda _: None,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> Replay:
    """Return a replay that writes into a folder.

    Parameters
    ----------
    settings, out, until_ms, watch
        See `Replay` and `ReplaySettings`.
    add
        Writes further files beside the outputs, see `OutputFolder`.
    without
        Statements on identities that are left out, see `Weaver`.

    Raises
    ------
    ConfigurationError
        If the folder cannot be written, or the settings do not fit together.
    """
    partition = create_partition(settings)
    trainers = create_trainers(settings, partition.segmentations)
    pace = _replay_settings(settings, until_ms)
    return Replay(partition, trainers, OutputFolder(out, add), pace, watch, create_weaver(settings, without))


def create_run(settings: Settings, outputs: Outputs) -> Run:
    """Return a run that records of any number of files, and single ones, can be carried through.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    """
    partition = create_partition(settings)
    trainers = create_trainers(settings, partition.segmentations)
    return Run(partition, trainers, outputs, _replay_settings(settings), weaver=create_weaver(settings))


def state_of_run(settings: Settings, run: Run) -> dict[str, Any]:
    """Return as JSON values all that a run goes on from but its customers, and what it goes by."""
    return {
        "settings": settings.model_dump(mode="json", exclude=set(_OTHER_SECTIONS)),
        "definitions": dump_definitions(settings.definitions),
        "partition": partition_state(run.partition),
        "trainers": {name: trainer.state() for name, trainer in run.trainers.items()},
        "run": run.state(),
    }


def settings_of_state(state: Mapping[str, Any]) -> Settings:
    """Return the settings that a run was saved with; what it does not depend on is as the software has it."""
    return Settings(**state["settings"]).with_definitions(load_definitions(state["definitions"]))


def resume_run(settings: Settings, outputs: Outputs, state: Mapping[str, Any]) -> Run:
    """Return a run that goes on where `state_of_run` was taken, once its customers are in the table.

    Parameters
    ----------
    settings
        Those of the state.
    outputs
        With what the earlier run has written.
    """
    partition = create_partition(settings)
    restore_partition(partition, state["partition"])
    by_name = create_trainer_settings(settings)
    trainers = {name: Trainer.restore(by_name[name], trainer) for name, trainer in state["trainers"].items()}
    pace, weaver = _replay_settings(settings), create_weaver(settings)
    return Run(partition, trainers, outputs, pace, earlier=state["run"], weaver=weaver)


def _replay_settings(settings: Settings, until_ms: int | None = None) -> ReplaySettings:
    interval_ms, tick_ms = intervals_ms(settings)
    return ReplaySettings(
        sweep_interval_ms=interval_ms,
        tick_ms=tick_ms,
        sample_size=settings.learning.sample_size,
        seed=settings.learning.seed,
        keep_payload=settings.records.keep_rejected_payload,
        until_ms=until_ms,
        gap_ms=settings.records.trusted_gap_days * DAY_MS,
    )


def _tell_apart(paths: Sequence[Path]) -> list[str]:
    """Return the paths' names, with as many of their folders as it takes to tell different files apart."""
    for depth in count(1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return [os.fsencode(name).decode("utf-8", "replace") for name in names]
