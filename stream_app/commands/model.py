"""`segmenter model`: show the models of segmentations, and decide on learned ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from stream_app.adapters.logs import silence_kafka
from stream_app.bootstrap.models import create_desk, read_folder
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config
from stream_app.commands.model_text import model_lines
from stream_app.contracts.decisions import Outcome
from stream_app.contracts.model_shelf import ModelShelf, ShelvedModel
from stream_app.contracts.outputs.models import DecisionAction
from stream_app.errors import DecisionPending, DecisionRefused
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings

TIMEOUT_SECONDS: Final = 30

_SEGMENTATION: Final = click.argument("segmentation")
_VERSION: Final = click.argument("version", type=click.IntRange(min=0))


def _decides(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every decision."""
    for option in (
        click.option(
            "--by",
            "decided_by",
            envvar="USER",
            default="operator",
            metavar="NAME",
            help="Who decides.  [default: $USER]",
        ),
        click.option(
            "--timeout",
            "timeout_seconds",
            type=click.IntRange(1, 3_600),
            default=TIMEOUT_SECONDS,
            show_default=True,
            help="Seconds to wait until a worker has carried it out.",
        ),
        CONFIG,
    ):
        function = option(function)
    return function


@click.group(cls=GuessingGroup)
@passes_config
def model() -> None:
    """Show the models of segmentations, and approve, reject, pin or unpin one.

    A decision is carried out by the worker that learns; the command waits, and ends with 2 if it was refused and with 1
    if no worker has carried it out in time.
    """
    silence_kafka()


@model.command()
@click.argument("segmentation", required=False)
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), help="Show what a replay wrote there instead."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONFIG
def show(segmentation: str | None, folder: Path | None, as_json: bool, config: Path | None) -> None:
    """Print which versions are in force, how far customers have drifted, and what waits for a decision."""
    shelf = read_folder(folder) if folder is not None else asyncio.run(_read(load_settings(config)))
    names = sorted(shelf.models) if segmentation is None else [segmentation]
    models = {name: shelf.require(name) for name in names}
    if as_json:
        documents = {name: _document(each) for name, each in models.items()}
        click.echo(msgspec.json.format(msgspec.json.encode(documents), indent=2))
        return
    for number, (name, each) in enumerate(models.items()):
        if number:
            click.echo()
        for line in model_lines(name, each, is_live=folder is None):
            click.echo(line)


@model.command()
@_SEGMENTATION
@_VERSION
@_decides
def approve(segmentation: str, version: int, **options: Any) -> None:
    """Publish the version that is held back; it is the one that `model show` shows now, or it is refused."""
    _decide("approve", segmentation, version, **options)


@model.command()
@_SEGMENTATION
@_VERSION
@_decides
def reject(segmentation: str, version: int, **options: Any) -> None:
    """Drop the version that is held back; the next tick may propose another one."""
    _decide("reject", segmentation, version, **options)


@model.command()
@_SEGMENTATION
@_VERSION
@_decides
def pin(segmentation: str, version: int, **options: Any) -> None:
    """Keep a published version, one of the last twelve, in force; what is learned is held back from then on.

    An earlier version is published again, as the next one.
    """
    _decide("pin", segmentation, version, **options)


@model.command()
@_SEGMENTATION
@_decides
def unpin(segmentation: str, **options: Any) -> None:
    """Let models follow each other again."""
    _decide("unpin", segmentation, None, **options)


async def _read(settings: Settings) -> ModelShelf:
    async with create_desk(settings) as desk:
        return desk.shelf


def _decide(
    action: DecisionAction,
    segmentation: str,
    version: int | None,
    *,
    config: Path | None,
    timeout_seconds: int,
    decided_by: str,
) -> None:
    said = f"{action} {segmentation}" + ("" if version is None else f" {version}")
    settings = load_settings(config)
    outcome = asyncio.run(_hand_in(settings, action, segmentation, version, decided_by, timeout_seconds))
    if outcome is None:
        raise DecisionPending(
            f"{said}: no worker has carried it out within {timeout_seconds} s; it stands on the topic, and will be "
            "carried out once the trainers run; see `segmenter model show`"
        )
    if outcome.status == "refused":
        raise DecisionRefused(f"{said}: {outcome.reason}")
    pinned = "nothing is pinned" if outcome.pinned_version is None else f"version {outcome.pinned_version} is pinned"
    click.echo(f"{said}: done; version {outcome.published_version} is in force, {pinned}")


async def _hand_in(
    settings: Settings,
    action: DecisionAction,
    segmentation: str,
    version: int | None,
    decided_by: str,
    timeout_seconds: int,
) -> Outcome | None:
    async with create_desk(settings) as desk:
        return await desk.hand_in(action, segmentation, version, decided_by, timeout_seconds)


def _document(each: ShelvedModel) -> Mapping[str, Any]:
    return {
        "published": each.published,
        "waiting": each.waiting,
        "pinned_version": each.pinned_version,
        "last_decision": each.outcome,
    }
